//! Moves bytes: all of monoio, io-uring, libc and `unsafe`. Not here: what the bytes mean.
