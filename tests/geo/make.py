"""Writes the mmdb databases beside it. All of their contents are made up here.

usage: python make.py    (with PyPI mmdb-writer 0.2.7)"""

import pathlib

from mmdb_writer import MMDBWriter
from netaddr import IPSet

HERE = pathlib.Path(__file__).parent


def write(name, kind, version, rows):
    writer = MMDBWriter(
        ip_version=version, ipv4_compatible=version == 6, database_type=kind, description=kind
    )
    for networks, record in rows:
        writer.insert_network(IPSet(networks.split()), record)
    writer.to_db_file(str(HERE / name))


def city(country, code=None, name=None):
    record = {"country": {"iso_code": country}}
    if code or name:
        subdivision = {"iso_code": code} if code else {}
        if name:
            subdivision["names"] = {"en": name}
        record["subdivisions"] = [subdivision]
    return record


write(
    "city.mmdb",
    "Test-City",
    6,
    [
        ("127.0.1.0/24 2001:db8:1::/48", city("CN", "BJ", "Beijing")),
        ("127.0.2.0/24 2001:db8:2::/48", city("CN", "GD", "Guangdong")),
        ("203.0.113.0/26", city("CN", "22", "Jilin Sheng")),
        ("203.0.113.64/26", city("CN", None, "Shaanxi")),
        ("203.0.113.128/26", city("CN", "SX")),
        ("203.0.113.192/26", city("CN")),
        ("198.51.100.0/26", city("HK")),
        ("198.51.100.64/26", city("TW", "TPE", "Taipei City")),
        ("198.51.100.128/26", city("GB", "ENG", "England")),
        ("198.51.100.192/26", {"registered_country": {"iso_code": "DE"}}),
        ("192.0.2.0/24", {"location": {"time_zone": "UTC"}}),
    ],
)
write(
    "flat.mmdb",
    "Test-Flat-Country",
    4,
    [("127.0.0.0/8", {"country_code": "CN"}), ("192.0.2.0/24", {"country_code": "FR"})],
)
write(
    "asn.mmdb",
    "Test-ASN",
    6,
    [
        (
            "127.0.1.0/24 2001:db8:1::/48",
            {"autonomous_system_number": 4808, "autonomous_system_organization": "China Unicom"},
        ),
        ("127.0.2.0/24", {"autonomous_system_number": 4134}),
        ("203.0.113.0/24", {"autonomous_system_number": 64500}),
    ],
)
write(
    "isp.mmdb",
    "Test-ISP",
    4,
    [
        ("127.0.1.0/24", {"isp": "China Unicom Liaoning"}),
        ("127.0.2.0/24", {"isp": "Example Networks", "organization": "Example"}),
    ],
)
