//! What should happen next to an upgraded connection. Pure: bytes, time and chance come in as arguments.
