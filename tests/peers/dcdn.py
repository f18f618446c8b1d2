"""The two official Python SDKs of DCDN, unchanged but for endpoint and protocol.

usage: dcdn.py CLIENT CONVERSATION ADMIN_PORT EDGE_PORT ORIGIN_PORT
    CLIENT        tea | tea-v2 (its older signature) | classic
    CONVERSATION  script | wrong-secret | terraform | use | bill
The key stands in HAWSER_TEST_KEY as ID.SECRET; "use" prints the bytes of its traffic, "bill" takes
them, hours later, from HAWSER_TEST_BYTES; "terraform" takes the PEM files of a pair for its
domain from HAWSER_TEST_CERTIFICATE and HAWSER_TEST_PRIVATE_KEY."""

import base64
import datetime
import json
import os
import re
import select
import socket
import struct
import sys
import time

CLIENT, CONVERSATION = sys.argv[1:3]
ADMIN, EDGE, ORIGIN = (int(port) for port in sys.argv[3:6])
ID, SECRET = os.environ["HAWSER_TEST_KEY"].split(".")
ENDPOINT = f"127.0.0.1:{ADMIN}"
REGION = "cn-hangzhou"
VERSION = "2018-01-15"
# A flush comes every 10 s; this is for a machine with much else to do.
PATIENCE = 90


class Refused(Exception):
    def __init__(self, code, status, request_id):
        super().__init__(f"{status} {code}")
        self.code, self.status, self.request_id = code, status, request_id


class Tea:
    """alibabacloud-dcdn20180115"""

    def __init__(self, secret=SECRET, signature=None):
        from alibabacloud_dcdn20180115 import client, models
        from alibabacloud_tea_openapi import models as openapi

        more = {"signature_algorithm": signature} if signature else {}
        config = openapi.Config(
            access_key_id=ID,
            access_key_secret=secret,
            endpoint=ENDPOINT,
            protocol="http",
            region_id=REGION,
            **more,
        )
        self.client, self.models, self.openapi = client.Client(config), models, openapi

    def __call__(self, action, **params):
        request = getattr(self.models, action + "Request")().from_map(params)
        return self._answer(lambda: getattr(self.client, snake(action))(request).body.to_map())

    def common(self, action, query, body):
        """A call as tools with a generic client make it: a part in the query, the rest a form."""
        from alibabacloud_tea_util import models as util

        params = self.openapi.Params(
            action=action,
            version=VERSION,
            protocol="HTTP",
            pathname="/",
            method="POST",
            auth_type="AK",
            style="RPC",
            req_body_type="formData",
            body_type="json",
        )
        request = self.openapi.OpenApiRequest(query=query, body=body)
        call = lambda: self.client.call_api(params, request, util.RuntimeOptions())["body"]
        return self._answer(call)

    @staticmethod
    def _answer(call):
        try:
            return call()
        except Exception as error:
            if not getattr(error, "code", None):
                raise
            status = getattr(error, "status_code", None)
            raise Refused(error.code, status, getattr(error, "request_id", None)) from error


class Classic:
    """aliyun-python-sdk-dcdn"""

    def __init__(self, secret=SECRET):
        from aliyunsdkcore.client import AcsClient

        self.client = AcsClient(ID, secret, REGION)

    def __call__(self, action, **params):
        from aliyunsdkcore.acs_exception.exceptions import ServerException

        name = f"{action}Request"
        module = __import__(f"aliyunsdkdcdn.request.v20180115.{name}", fromlist=[name])
        request = getattr(module, name)()
        request.set_endpoint(ENDPOINT)
        request.set_protocol_type("http")
        for key, value in params.items():
            getattr(request, f"set_{key}")(value)
        try:
            return json.loads(self.client.do_action_with_exception(request))
        except ServerException as error:
            refused = Refused(error.error_code, error.http_status, error.request_id)
            raise refused from error


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def client(**options):
    if CLIENT == "classic":
        return Classic(**options)
    return Tea(signature="v2" if CLIENT == "tea-v2" else None, **options)


# What is asked and expected


def refused(code, status, call):
    try:
        answer = call()
    except Refused as error:
        assert error.code == code, f"expected {code}, got {error.code}"
        assert error.status in (status, None), f"expected {status}, got {error.status}"
        return
    raise AssertionError(f"expected {code}, got {answer}")


def until(what, ask):
    deadline = time.monotonic() + PATIENCE
    while True:
        last = ask()
        if last:
            return last
        assert time.monotonic() < deadline, f"not in {PATIENCE} s: {what}"
        # Not time.sleep: it waits for a moment, and under libfaketime that is not understood.
        select.select([], [], [], 0.2)


def stamp(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def window(begun):
    """From the slot of `begun` to the end of the current one."""
    now = time.time()
    return {
        "StartTime": stamp(begun // 300 * 300),
        "EndTime": stamp(now // 300 * 300 + 300),
    }


def frame(payload, opcode=2):
    mask = os.urandom(4)
    size = len(payload)
    assert 126 <= size < 65536 or size < 126
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes([0x80 | opcode]) + length + mask + masked


def traffic(host):
    """A WebSocket with an echo behind it; the bytes that the socket received, all of them."""
    key = base64.b64encode(os.urandom(16)).decode()
    sock = socket.create_connection(("127.0.0.1", EDGE), timeout=30)
    sock.sendall(
        f"GET /echo HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += read(sock)
    assert received.startswith(b"HTTP/1.1 101 "), received
    head = received.index(b"\r\n\r\n") + 4
    payload = os.urandom(1000)
    for _ in range(20):
        sock.sendall(frame(payload))
    while len(received) < head + 20 * (4 + len(payload)):
        received += read(sock)
    sock.sendall(frame(struct.pack(">H", 1000), opcode=8))
    while chunk := sock.recv(65536):
        received += chunk
    sock.close()
    assert received.count(payload) == 20
    return len(received)


def read(sock):
    chunk = sock.recv(65536)
    assert chunk, "the edge closed the connection"
    return chunk


def functions(config_id=None, **args):
    listed = [{"argName": name, "argValue": value} for name, value in args.items()]
    function = {"functionName": "websocket", "functionArgs": listed}
    if config_id:
        function["configId"] = config_id
    return json.dumps([function])


def source(capitals=False):
    one = {"type": "ipaddr", "content": "127.0.0.1", "port": ORIGIN, "priority": "20"}
    one["weight"] = "10"
    return json.dumps([{k.capitalize() if capitals else k: v for k, v in one.items()}])


def detail(call, name):
    return call("DescribeDcdnDomainDetail", DomainName=name)["DomainDetail"]


# Conversations


def script():
    call = client()
    name = f"{CLIENT}.example.com"
    begun = time.time()
    open_and_add(call, name)
    config_id = set_websocket(call, name)
    received = traffic(name)
    describe(call, name, config_id)
    statistics(call, name, begun, received)
    bill(call, name, begun, received)
    delete(call, name)


def open_and_add(call, name):
    opening = dict(BillType="PayByTraffic", WebsocketBillType="websockettraffic")
    assert re.fullmatch(r"[0-9A-F-]{36}", call("OpenDcdnService", **opening)["RequestId"])
    refused("DcdnService.HasOpened", 400, lambda: call("OpenDcdnService", **opening))
    service = call("DescribeDcdnService")
    assert service["WebsocketType"] == "websockettraffic", service
    assert service["InternetChargeType"] == "PayByTraffic", service

    call("AddDcdnDomain", DomainName=name, Sources=source(), Scope="domestic")
    until("online", lambda: detail(call, name)["DomainStatus"] == "online")
    (found,) = detail(call, name)["Sources"]["Source"]
    assert (found["Type"], found["Content"], found["Port"]) == ("ipaddr", "127.0.0.1", ORIGIN)


def set_websocket(call, name):
    answer = call(
        "BatchSetDcdnDomainConfigs",
        DomainNames=name,
        Functions=functions(enabled="on", heartbeat="60", origin_scheme="http"),
    )
    (made,) = answer["DomainConfigList"]["DomainConfigModel"]
    assert (made["DomainName"], made["FunctionName"]) == (name, "websocket"), made

    def configured():
        asked = call("DescribeDcdnDomainConfigs", DomainName=name, FunctionNames="websocket")
        (config,) = asked["DomainConfigs"]["DomainConfig"]
        return config["Status"] == "success" and config

    config = until("success", configured)
    args = {arg["ArgName"]: arg["ArgValue"] for arg in config["FunctionArgs"]["FunctionArg"]}
    assert args == {"enabled": "on", "heartbeat": "60", "origin_scheme": "http"}, args
    assert config["ConfigId"] == str(made["ConfigId"]), config
    for wrong in ("0", "301", "abc"):
        wrong = functions(enabled="on", heartbeat=wrong)
        set_wrong = lambda: call("BatchSetDcdnDomainConfigs", DomainNames=name, Functions=wrong)
        refused("InvalidHeartbeat.Malformed", 400, set_wrong)
    return made["ConfigId"]


def describe(call, name, config_id):
    # A change is live at once, and makes a domain "configuring" for a moment all the same.
    until("online", lambda: detail(call, name)["DomainStatus"] == "online")
    listed = call("DescribeDcdnUserDomains", PageNumber=1, PageSize=20)
    assert listed["TotalCount"] == 1, listed
    (domain,) = listed["Domains"]["PageData"]
    assert (domain["DomainName"], domain["DomainStatus"]) == (name, "online"), domain
    (cname,) = call("DescribeDcdnDomainCname", DomainName=name)["CnameDatas"]["Data"]
    assert cname["Domain"] == name, cname
    places = call("DescribeDcdnRegionAndIsp")
    regions = [region["NameEn"] for region in places["Regions"]["Region"]]
    isps = [isp["NameEn"] for isp in places["Isps"]["Isp"]]
    assert {"beijing", "shaanxi", "shanxi", "taiwan"} <= set(regions), regions
    assert {"unicom", "tietong", "telecom", "cernet", "drpeng", "mobile"} <= set(isps), isps
    made = call("CreateDcdnCertificateSigningRequest", CommonName=name, Organization="Somebody")
    assert made["CommonName"] == name, made
    assert "-----BEGIN CERTIFICATE REQUEST-----" in made["Csr"], made
    assert re.fullmatch(r"[0-9a-f]{32}", made["PubMd5"]), made
    missing = lambda: call("DescribeDcdnDomainDetail", DomainName="nobody.example.com")
    refused("InvalidDomain.NotFound", 404, missing)
    assert config_id


def statistics(call, name, begun, received):
    """Until the last flush; then the same bytes and codes in all three."""

    def modules(what, key, **more):
        asked = dict(DomainName=name, Interval="300", **window(begun), **more)
        answer = call(f"DescribeDcdnDomainWebsocket{what}Data", **asked)
        assert (answer["DomainName"], answer["DataInterval"]) == (name, "300"), answer
        assert answer["StartTime"] == asked["StartTime"], answer
        slots = answer[key]["DataModule"]
        assert slots and all(int(slot["TimeStamp"][14:16]) % 5 == 0 for slot in slots), slots
        return slots

    def sent(**more):
        slots = modules("Traffic", "TrafficDataPerInterval", **more)
        return sum(slot["WebsocketTraffic"] for slot in slots)

    until("the bytes that were received", lambda: sent() == received)
    assert sent(LocationNameEn="beijing", IspNameEn="unicom") == received
    assert sent(LocationNameEn="guangdong") == 0
    assert sent(LocationNameEn="nowhere", IspNameEn="nobody") == 0

    bps = [slot["WebsocketBps"] for slot in modules("Bps", "BpsDataPerInterval")]
    assert abs(sum(bps) * 300 / 8 - received) < 1e-3, bps

    def by_layer(layer):
        asked = dict(DomainName=name, Interval="300", Layer=layer, **window(begun))
        answer = call("DescribeDcdnDomainBpsDataByLayer", **asked)
        assert answer["DataInterval"] == "300", answer
        slots = answer["BpsDataInterval"]["DataModule"]
        return sum(float(slot["TrafficValue"]) for slot in slots)

    shares = {layer: by_layer(layer) for layer in ("all", "IPv4", "IPv6", "http", "https", "quic")}
    assert [layer for layer, share in shares.items() if share] == ["all", "IPv4", "http"], shares
    assert {shares["all"], shares["IPv4"], shares["http"]} == {received}, shares

    codes = {}
    for slot in modules("HttpCode", "HttpCodeDataPerInterval"):
        found = slot["WebsocketHttpCode"]["HttpCodeDataModule"]
        assert not found or abs(sum(code["Proportion"] for code in found) - 100) < 1e-6, slot
        for code in found:
            codes[code["Code"]] = codes.get(code["Code"], 0) + code["Count"]
    assert codes == {101: 1}, codes

    half = dict(DomainName=name, StartTime=window(begun)["StartTime"])
    traffic_of = lambda **asked: call("DescribeDcdnDomainWebsocketTrafficData", **asked)
    refused("MissingTimeParameter", 400, lambda: traffic_of(**half))
    reverse = dict(half, EndTime=half["StartTime"])
    refused("InvalidEndTime.Mismatch", 400, lambda: traffic_of(**reverse))


def bill(call, name, begun, received):
    span = window(begun)
    usage = call("DescribeDcdnDomainUsageData", DomainName=name, Field="traf", **span)
    points = usage["UsageDataPerInterval"]["DataModule"]
    assert sum(float(point["Value"]) for point in points) == received, usage
    feed = call("DescribeDcdnDomainMultiUsageData", DomainName=name, **span)
    rows = feed["TrafficPerInterval"]["TrafficDataModule"]
    assert {(row["Domain"], row["Type"]) for row in rows} == {(name, "WebSocket")}, feed
    assert abs(sum(row["Bps"] for row in rows) * 300 / 8 - received) < 1e-3, feed
    requests = feed["RequestPerInterval"]["RequestDataModule"]
    assert sum(row["Request"] for row in requests) == 1, feed
    types = call("DescribeDcdnUserBillType", **span)["BillTypeData"]["BillTypeDataItem"]
    of_websocket = [item for item in types if item["Dimension"] == "websocket"]
    assert [item["BillType"] for item in of_websocket] == ["hour_flow"], types
    # An hour is billed when it is over.
    history = call("DescribeDcdnUserBillHistory", **span)["BillHistoryData"]
    same_hour = span["StartTime"][:13] == stamp(time.time())[:13]
    assert history["BillHistoryDataItem"] == [] or not same_hour, history


def delete(call, name):
    call("DeleteDcdnDomain", DomainName=name)

    def gone():
        try:
            detail(call, name)
        except Refused as error:
            assert (error.code, error.status in (404, None)) == ("InvalidDomain.NotFound", True)
            return True

    until("gone", gone)
    assert call("DescribeDcdnUserDomains")["TotalCount"] == 0


HOUR = {"StartTime": "2026-06-10T12:00:00Z", "EndTime": "2026-06-10T13:00:00Z"}


def use():
    call = client()
    name = f"{CLIENT}.example.com"
    open_and_add(call, name)
    set_websocket(call, name)
    received = traffic(name)
    asked = dict(DomainName=name, Interval="3600", **HOUR)

    def counted():
        answer = call("DescribeDcdnDomainWebsocketTrafficData", **asked)
        (slot,) = answer["TrafficDataPerInterval"]["DataModule"]
        return slot["WebsocketTraffic"] == received

    until("the bytes that were received", counted)
    history = call("DescribeDcdnUserBillHistory", **HOUR)["BillHistoryData"]
    assert history["BillHistoryDataItem"] == [], history
    print("used", received)


def later_bill():
    call = client()
    received = float(os.environ["HAWSER_TEST_BYTES"])

    def rows():
        history = call("DescribeDcdnUserBillHistory", **HOUR)["BillHistoryData"]
        return [row for row in history["BillHistoryDataItem"] if row["Dimension"] == "websocket"]

    (row,) = until("the hour is billed", rows)
    assert row["BillType"] == "hour_flow", row
    (item,) = row["BillingData"]["BillingDataItem"]
    assert (item["CdnRegion"], item["Flow"]) == ("CN", received), row


def wrong_secret():
    """The classic client finds out by itself that only the secret can be wrong."""
    code = "InvalidAccessKeySecret" if CLIENT == "classic" else "SignatureDoesNotMatch"
    wrong = client(secret=SECRET[:-1] + ("a" if SECRET[-1] != "a" else "b"))
    refused(code, 400, lambda: wrong("DescribeDcdnService"))
    client()("DescribeDcdnUserDomains")


def terraform():
    """The calls of the public provider's dcdn_domain and dcdn_domain_config, in its order, with
    its spellings, and with its polls, each of which has to end."""
    tea = Tea(signature="v2" if CLIENT == "tea-v2" else None)
    call = lambda action, query=None, **body: tea.common(action, query or {}, body)
    name = "terraform.example.com"
    opening = dict(BillType="PayByTraffic", WebsocketBillType="websockettraffic")
    call("OpenDcdnService", opening)

    status = lambda: call("DescribeDcdnDomainDetail", DomainName=name)["DomainDetail"]
    online = lambda: status()["DomainStatus"] == "online"
    certificates = lambda: call("DescribeDcdnDomainCertificateInfo", DomainName=name)
    certificate = lambda: certificates()["CertInfos"]["CertInfo"][0]

    call("AddDcdnDomain", DomainName=name, Sources=source(), Scope="overseas")
    until("online", online)
    tags = {"ResourceType": "DOMAIN", "ResourceId.1": name}
    call("TagDcdnResources", **tags, **{"Tag.1.Key": "made-by", "Tag.1.Value": "terraform"})
    assert certificate()["SSLProtocol"] == "off"
    (tagged,) = call("DescribeDcdnTagResources", **tags)["TagResources"]
    assert tagged["Tag"] == [{"Key": "made-by", "Value": "terraform"}], tagged

    pem = lambda what: open(os.environ[f"HAWSER_TEST_{what}"], encoding="ascii").read()
    pair = dict(SSLPub=pem("CERTIFICATE"), SSLPri=pem("PRIVATE_KEY"))
    upload = dict(DomainName=name, SSLProtocol="on", CertType="upload", CertName="t", **pair)
    call("SetDcdnDomainSSLCertificate", **upload)
    until("a certificate", lambda: certificate()["SSLProtocol"] == "on")
    assert status()["SSLProtocol"] == "on"
    call("SetDcdnDomainSSLCertificate", DomainName=name, SSLProtocol="off")
    until("no certificate", lambda: certificate()["SSLProtocol"] == "off")

    call("UpdateDcdnDomain", DomainName=name, Sources=source(capitals=True))
    until("online", online)
    call("StopDcdnDomain", DomainName=name)
    until("offline", lambda: status()["DomainStatus"] == "offline")
    call("StartDcdnDomain", DomainName=name)
    until("online", online)

    asked = dict(DomainName=name, FunctionNames="websocket")

    def configs(config_id):
        found = call("DescribeDcdnDomainConfigs", ConfigId=config_id, **asked)
        return found["DomainConfigs"]["DomainConfig"]

    def configure(config_id=None, **args):
        made = call(
            "BatchSetDcdnDomainConfigs",
            {"DomainNames": name},
            Functions=functions(config_id, enabled="on", **args),
        )["DomainConfigList"]["DomainConfigModel"]
        (made,) = [m for m in made if (m["DomainName"], m["FunctionName"]) == (name, "websocket")]
        config_id = str(made["ConfigId"])
        until("success", lambda: [c["Status"] for c in configs(config_id)] == ["success"])
        return config_id

    config_id = configure(heartbeat="30")
    # With the id as a string, as the provider sends it.
    assert configure(config_id, heartbeat="45") == config_id
    (config,) = configs(config_id)
    args = {arg["ArgName"]: arg["ArgValue"] for arg in config["FunctionArgs"]["FunctionArg"]}
    assert args["heartbeat"] == "45", config
    call("DeleteDcdnSpecificConfig", DomainName=name, ConfigId=config_id)
    until("no configuration", lambda: configs(config_id) == [])

    call("UntagDcdnResources", **tags, **{"TagKey.1": "made-by"})
    call("DeleteDcdnDomain", DomainName=name)

    def gone():
        try:
            status()
        except Refused as error:
            assert error.code == "InvalidDomain.NotFound", error
            return True

    until("gone", gone)


CONVERSATIONS = {
    "script": script,
    "wrong-secret": wrong_secret,
    "terraform": terraform,
    "use": use,
    "bill": later_bill,
}
CONVERSATIONS[CONVERSATION]()
print("ok", CLIENT, CONVERSATION)
