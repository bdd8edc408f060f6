"""Hubble's public API as numbers: what a client of another make goes by.

Taken from the public text (cilium/cilium, api/v1/{flow,observer,relay,peer}/*.proto, up to 1.19), not
from ours: `compare` holds observe/proto against it, and `classes` makes messages of it alone. A field
is NAME=NUMBER:TYPE; `*` before the type: repeated. TYPE is a scalar, a message, or enum:NAME.
"""

MESSAGES = {
    "flow.Flow": """time=1:google.protobuf.Timestamp verdict=2:enum:flow.Verdict drop_reason=3:uint32
        ethernet=4:flow.Ethernet IP=5:flow.IP l4=6:flow.Layer4 source=8:flow.Endpoint destination=9:flow.Endpoint
        Type=10:enum:flow.FlowType node_name=11:string source_names=13:*string destination_names=14:*string
        l7=15:flow.Layer7 reply=16:bool event_type=19:flow.CiliumEventType source_service=20:flow.Service
        destination_service=21:flow.Service traffic_direction=22:enum:flow.TrafficDirection policy_match_type=23:uint32
        trace_observation_point=24:enum:flow.TraceObservationPoint drop_reason_desc=25:enum:flow.DropReason
        is_reply=26:google.protobuf.BoolValue interface=28:flow.NetworkInterface proxy_port=29:uint32
        trace_context=30:flow.TraceContext uuid=34:string auth_type=35:enum:flow.AuthType
        trace_reason=36:enum:flow.TraceReason node_labels=37:*string ip_trace_id=40:flow.IPTraceID
        egress_allowed_by=21001:*flow.Policy ingress_allowed_by=21002:*flow.Policy egress_denied_by=21004:*flow.Policy
        ingress_denied_by=21005:*flow.Policy policy_log=21006:*string Summary=100000:string
        extensions=150000:google.protobuf.Any""",
    "flow.Ethernet": "source=1:string destination=2:string",
    "flow.IP": "source=1:string destination=2:string ipVersion=3:enum:flow.IPVersion encrypted=4:bool source_xlated=5:string",
    "flow.Layer4": "TCP=1:flow.TCP UDP=2:flow.UDP ICMPv4=3:flow.ICMPv4 ICMPv6=4:flow.ICMPv6 SCTP=5:flow.SCTP",
    "flow.TCP": "source_port=1:uint32 destination_port=2:uint32 flags=3:flow.TCPFlags",
    "flow.TCPFlags": "FIN=1:bool SYN=2:bool RST=3:bool PSH=4:bool ACK=5:bool URG=6:bool ECE=7:bool CWR=8:bool NS=9:bool",
    "flow.UDP": "source_port=1:uint32 destination_port=2:uint32",
    "flow.SCTP": "source_port=1:uint32 destination_port=2:uint32",
    "flow.ICMPv4": "type=1:uint32 code=2:uint32",
    "flow.ICMPv6": "type=1:uint32 code=2:uint32",
    "flow.Layer7": "type=1:enum:flow.L7FlowType latency_ns=2:uint64 dns=100:flow.DNS http=101:flow.HTTP",
    "flow.HTTP": "code=1:uint32 method=2:string url=3:string protocol=4:string headers=5:*flow.HTTPHeader",
    "flow.HTTPHeader": "key=1:string value=2:string",
    "flow.DNS": """query=1:string ips=2:*string ttl=3:uint32 cnames=4:*string observation_source=5:string
        rcode=6:uint32 qtypes=7:*string rrtypes=8:*string""",
    "flow.TraceContext": "parent=1:flow.TraceParent",
    "flow.TraceParent": "trace_id=1:string",
    "flow.IPTraceID": "trace_id=1:uint64 ip_option_type=2:uint32",
    "flow.Endpoint": """ID=1:uint32 identity=2:uint32 namespace=3:string labels=4:*string pod_name=5:string
        workloads=6:*flow.Workload cluster_name=7:string""",
    "flow.Workload": "name=1:string kind=2:string",
    "flow.Service": "name=1:string namespace=2:string",
    "flow.Policy": "name=1:string namespace=2:string labels=3:*string revision=4:uint64 kind=5:string",
    "flow.NetworkInterface": "index=1:uint32 name=2:string",
    "flow.CiliumEventType": "type=1:int32 sub_type=2:int32",
    "flow.EventTypeFilter": "type=1:int32 match_sub_type=2:bool sub_type=3:int32",
    "flow.FlowFilter": """source_ip=1:*string source_pod=2:*string destination_ip=3:*string destination_pod=4:*string
        verdict=5:*enum:flow.Verdict event_type=6:*flow.EventTypeFilter source_fqdn=7:*string destination_fqdn=8:*string
        http_status_code=9:*string source_label=10:*string destination_label=11:*string protocol=12:*string
        source_port=13:*string destination_port=14:*string reply=15:*bool source_service=16:*string
        destination_service=17:*string dns_query=18:*string source_identity=19:*uint32 destination_identity=20:*uint32
        http_method=21:*string http_path=22:*string tcp_flags=23:*flow.TCPFlags node_name=24:*string
        ip_version=25:*enum:flow.IPVersion source_workload=26:*flow.Workload destination_workload=27:*flow.Workload
        trace_id=28:*string uuid=29:*string traffic_direction=30:*enum:flow.TrafficDirection http_url=31:*string
        http_header=32:*flow.HTTPHeader drop_reason_desc=33:*enum:flow.DropReason source_ip_xlated=34:*string
        interface=35:*flow.NetworkInterface node_labels=36:*string source_cluster_name=37:*string
        destination_cluster_name=38:*string ip_trace_id=39:*uint64 encrypted=40:*bool
        experimental=999:flow.FlowFilter.Experimental""",
    "flow.FlowFilter.Experimental": "cel_expression=1:*string",
    "flow.LostEvent": """source=1:enum:flow.LostEventSource num_events_lost=2:uint64 cpu=3:google.protobuf.Int32Value
        first=4:google.protobuf.Timestamp last=5:google.protobuf.Timestamp""",
    "relay.NodeStatusEvent": "state_change=1:enum:relay.NodeState node_names=2:*string message=3:string",
    "observer.GetFlowsRequest": """number=1:uint64 follow=3:bool blacklist=5:*flow.FlowFilter whitelist=6:*flow.FlowFilter
        since=7:google.protobuf.Timestamp until=8:google.protobuf.Timestamp first=9:bool
        field_mask=10:google.protobuf.FieldMask experimental=999:observer.GetFlowsRequest.Experimental
        extensions=150000:google.protobuf.Any""",
    "observer.GetFlowsRequest.Experimental": "",
    "observer.GetFlowsResponse": """flow=1:flow.Flow node_status=2:relay.NodeStatusEvent lost_events=3:flow.LostEvent
        node_name=1000:string time=1001:google.protobuf.Timestamp""",
    "observer.ServerStatusRequest": "",
    "observer.ServerStatusResponse": """num_flows=1:uint64 max_flows=2:uint64 seen_flows=3:uint64 uptime_ns=4:uint64
        num_connected_nodes=5:google.protobuf.UInt32Value num_unavailable_nodes=6:google.protobuf.UInt32Value
        unavailable_nodes=7:*string version=8:string flows_rate=9:double""",
    "observer.GetNodesRequest": "",
    "observer.GetNodesResponse": "nodes=1:*observer.Node",
    "observer.Node": """name=1:string version=2:string address=3:string state=4:enum:relay.NodeState tls=5:observer.TLS
        uptime_ns=6:uint64 num_flows=7:uint64 max_flows=8:uint64 seen_flows=9:uint64""",
    "observer.TLS": "enabled=1:bool server_name=2:string",
    "observer.GetNamespacesRequest": "",
    "observer.GetNamespacesResponse": "namespaces=1:*observer.Namespace",
    "observer.Namespace": "cluster=1:string namespace=2:string",
    "peer.NotifyRequest": "",
    "peer.ChangeNotification": "name=1:string address=2:string type=3:enum:peer.ChangeNotificationType tls=4:peer.TLS",
    "peer.TLS": "server_name=1:string",
}

# Numbers that Weir has no use for, and may never give to anything else.
LEFT_OUT = {
    "flow.Flow": [27, 31, 32, 33, 38, 39, 41, 21007],
    "flow.Layer4": [6, 7],
    "flow.Layer7": [102],
}

ENUMS = {
    "flow.Verdict": "VERDICT_UNKNOWN FORWARDED DROPPED ERROR AUDIT REDIRECTED TRACED TRANSLATED",
    "flow.FlowType": "UNKNOWN_TYPE L3_L4 L7 SOCK",
    "flow.TrafficDirection": "TRAFFIC_DIRECTION_UNKNOWN INGRESS EGRESS",
    "flow.IPVersion": "IP_NOT_USED IPv4 IPv6",
    "flow.L7FlowType": "UNKNOWN_L7_TYPE REQUEST RESPONSE SAMPLE",
    "flow.AuthType": "DISABLED SPIRE TEST_ALWAYS_FAIL",
    "flow.TraceReason": """TRACE_REASON_UNKNOWN NEW ESTABLISHED REPLY RELATED REOPENED SRV6_ENCAP SRV6_DECAP
        ENCRYPT_OVERLAY""",
    "flow.TraceObservationPoint": """UNKNOWN_POINT TO_PROXY TO_HOST TO_STACK TO_OVERLAY FROM_ENDPOINT FROM_PROXY
        FROM_HOST FROM_STACK FROM_OVERLAY FROM_NETWORK TO_NETWORK FROM_CRYPTO TO_CRYPTO TO_ENDPOINT=101""",
    "flow.LostEventSource": """UNKNOWN_LOST_EVENT_SOURCE PERF_EVENT_RING_BUFFER OBSERVER_EVENTS_QUEUE
        HUBBLE_RING_BUFFER""",
    "flow.DropReason": """DROP_REASON_UNKNOWN INVALID_SOURCE_MAC=130 INVALID_DESTINATION_MAC INVALID_SOURCE_IP
        POLICY_DENIED INVALID_PACKET_DROPPED CT_TRUNCATED_OR_INVALID_HEADER CT_MISSING_TCP_ACK_FLAG
        CT_UNKNOWN_L4_PROTOCOL CT_CANNOT_CREATE_ENTRY_FROM_PACKET UNSUPPORTED_L3_PROTOCOL MISSED_TAIL_CALL
        ERROR_WRITING_TO_PACKET UNKNOWN_L4_PROTOCOL UNKNOWN_ICMPV4_CODE UNKNOWN_ICMPV4_TYPE UNKNOWN_ICMPV6_CODE
        UNKNOWN_ICMPV6_TYPE ERROR_RETRIEVING_TUNNEL_KEY ERROR_RETRIEVING_TUNNEL_OPTIONS INVALID_GENEVE_OPTION
        UNKNOWN_L3_TARGET_ADDRESS STALE_OR_UNROUTABLE_IP NO_MATCHING_LOCAL_CONTAINER_FOUND
        ERROR_WHILE_CORRECTING_L3_CHECKSUM ERROR_WHILE_CORRECTING_L4_CHECKSUM CT_MAP_INSERTION_FAILED
        INVALID_IPV6_EXTENSION_HEADER IP_FRAGMENTATION_NOT_SUPPORTED SERVICE_BACKEND_NOT_FOUND
        NO_TUNNEL_OR_ENCAPSULATION_ENDPOINT=160 FAILED_TO_INSERT_INTO_PROXYMAP REACHED_EDT_RATE_LIMITING_DROP_HORIZON
        UNKNOWN_CONNECTION_TRACKING_STATE LOCAL_HOST_IS_UNREACHABLE
        NO_CONFIGURATION_AVAILABLE_TO_PERFORM_POLICY_DECISION UNSUPPORTED_L2_PROTOCOL NO_MAPPING_FOR_NAT_MASQUERADE
        UNSUPPORTED_PROTOCOL_FOR_NAT_MASQUERADE FIB_LOOKUP_FAILED ENCAPSULATION_TRAFFIC_IS_PROHIBITED INVALID_IDENTITY
        UNKNOWN_SENDER NAT_NOT_NEEDED IS_A_CLUSTERIP FIRST_LOGICAL_DATAGRAM_FRAGMENT_NOT_FOUND
        FORBIDDEN_ICMPV6_MESSAGE DENIED_BY_LB_SRC_RANGE_CHECK SOCKET_LOOKUP_FAILED SOCKET_ASSIGN_FAILED
        PROXY_REDIRECTION_NOT_SUPPORTED_FOR_PROTOCOL POLICY_DENY VLAN_FILTERED INVALID_VNI INVALID_TC_BUFFER NO_SID
        MISSING_SRV6_STATE NAT46 NAT64 AUTH_REQUIRED CT_NO_MAP_FOUND SNAT_NO_MAP_FOUND INVALID_CLUSTER_ID
        UNSUPPORTED_PROTOCOL_FOR_DSR_ENCAP NO_EGRESS_GATEWAY TTL_EXCEEDED=196 NO_NODE_ID DROP_RATE_LIMITED
        DROP_HOST_NOT_READY=202 DROP_EP_NOT_READY DROP_NO_EGRESS_IP DROP_PUNT_PROXY DROP_NO_DEVICE""",
    "relay.NodeState": "UNKNOWN_NODE_STATE NODE_CONNECTED NODE_UNAVAILABLE NODE_GONE NODE_ERROR",
    "peer.ChangeNotificationType": "UNKNOWN PEER_ADDED PEER_DELETED PEER_UPDATED",
}

# Method: request, answer.
METHODS = {
    "observer.Observer/GetFlows": ("observer.GetFlowsRequest", "observer.GetFlowsResponse"),
    "observer.Observer/GetNodes": ("observer.GetNodesRequest", "observer.GetNodesResponse"),
    "observer.Observer/GetNamespaces": ("observer.GetNamespacesRequest", "observer.GetNamespacesResponse"),
    "observer.Observer/ServerStatus": ("observer.ServerStatusRequest", "observer.ServerStatusResponse"),
    "peer.Peer/Notify": ("peer.NotifyRequest", "peer.ChangeNotification"),
}
STREAMS = {"observer.Observer/GetFlows", "peer.Peer/Notify"}


def values(text):
    """Names with numbers: each one more than the one before, unless it says its own."""
    found, number = {}, -1
    for word in text.split():
        name, _, own = word.partition("=")
        number = int(own) if own else number + 1
        found[name] = number
    return found


def fields(text):
    """(name, number, repeated, type) of each."""
    for word in text.split():
        name, rest = word.split("=")
        number, kind = rest.split(":", 1)
        yield name, int(number), kind.startswith("*"), kind.lstrip("*")


def files():
    """The tables as descriptors, one file for all packages of each name."""
    from google.protobuf import descriptor_pb2

    proto = descriptor_pb2.FieldDescriptorProto
    well_known = ["any", "field_mask", "timestamp", "wrappers"]
    made = {}
    for package in ("flow", "relay", "observer", "peer"):
        file = made[package] = descriptor_pb2.FileDescriptorProto(name=f"public/{package}.proto", package=package, syntax="proto3")
        file.dependency.extend(f"google/protobuf/{name}.proto" for name in well_known)
        file.dependency.extend(f"public/{other}.proto" for other in made if other != package)
    messages: dict = {}
    for full, text in ENUMS.items():
        package, name = full.split(".")
        enum = made[package].enum_type.add(name=name)
        for value, number in values(text).items():
            enum.value.add(name=value, number=number)
    for full, text in MESSAGES.items():
        package, *outer, name = full.split(".")
        home = messages[f"{package}.{outer[0]}"].nested_type if outer else made[package].message_type
        message = messages[full] = home.add(name=name)
        for field, number, repeated, kind in fields(text):
            added = message.field.add(name=field, number=number, label=proto.LABEL_REPEATED if repeated else proto.LABEL_OPTIONAL)
            if kind.startswith("enum:"):
                added.type, added.type_name = proto.TYPE_ENUM, "." + kind.removeprefix("enum:")
            elif "." in kind:
                added.type, added.type_name = proto.TYPE_MESSAGE, "." + kind
            else:
                added.type = getattr(proto, f"TYPE_{kind.upper()}")
    return made.values()


def classes():
    """Classes of the messages by their full names, made of the tables alone."""
    from google.protobuf import any_pb2, descriptor_pool, field_mask_pb2, message_factory, timestamp_pb2, wrappers_pb2

    pool = descriptor_pool.DescriptorPool()
    for known in (any_pb2, field_mask_pb2, timestamp_pb2, wrappers_pb2):
        pool.AddSerializedFile(known.DESCRIPTOR.serialized_pb)
    for file in files():
        pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in MESSAGES}


def compare(descriptors):
    """What is wrong with our descriptors (a FileDescriptorSet): nothing, it is hoped."""
    from google.protobuf import descriptor_pb2

    proto, wrong = descriptor_pb2.FieldDescriptorProto, []
    ours, our_enums = {}, {}

    def take(prefix, message):
        ours[f"{prefix}.{message.name}"] = message
        for nested in message.nested_type:
            take(f"{prefix}.{message.name}", nested)

    for file in descriptors.file:
        if file.package in ("flow", "observer", "relay", "peer"):
            for message in file.message_type:
                take(file.package, message)
            for enum in file.enum_type:
                our_enums[f"{file.package}.{enum.name}"] = {value.name: value.number for value in enum.value}

    def shape(field):
        kind = proto.Type.Name(field.type).removeprefix("TYPE_").lower()
        kind = {"message": field.type_name[1:], "enum": "enum:" + field.type_name[1:]}.get(kind, kind)
        return field.number, field.label == proto.LABEL_REPEATED, kind

    for name in sorted(set(ours) ^ set(MESSAGES)):
        wrong.append(f"{name} is only in {'observe/proto' if name in ours else 'the public text'}")
    for name in sorted(set(ours) & set(MESSAGES)):
        public = {field: (number, repeated, kind) for field, number, repeated, kind in fields(MESSAGES[name])}
        mine = {field.name: shape(field) for field in ours[name].field}
        if name == "flow.Flow":
            own = mine.pop("weir", None)
            if own != (150001, False, "weir.Why"):
                wrong.append(f"flow.Flow.weir is {own}")
        for field in sorted(set(public) | set(mine)):
            if public.get(field) != mine.get(field):
                wrong.append(f"{name}.{field} is {mine.get(field)}, the public text has {public.get(field)}")
        taken = {field.number for field in ours[name].field} & set(LEFT_OUT.get(name, []))
        if taken:
            wrong.append(f"{name} uses {taken}, which the public text gives to other fields")
    for name in sorted(set(our_enums) ^ set(ENUMS)):
        wrong.append(f"enum {name} is only in {'observe/proto' if name in our_enums else 'the public text'}")
    for name in sorted(set(our_enums) & set(ENUMS)):
        if our_enums[name] != values(ENUMS[name]):
            differ = set(our_enums[name].items()) ^ set(values(ENUMS[name]).items())
            wrong.append(f"enum {name}: {sorted(differ)}")
    methods = {f"{file.package}.{service.name}/{method.name}": (method.input_type[1:], method.output_type[1:])
               for file in descriptors.file for service in file.service for method in service.method}
    if methods != METHODS:
        wrong.append(f"methods: {sorted(set(methods.items()) ^ set(METHODS.items()))}")
    return wrong
