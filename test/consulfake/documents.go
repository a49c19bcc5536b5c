package consulfake

import (
	"cmp"
	"maps"
	"slices"
)

type object = map[string]any

// document is the instance as Consul writes it.
func (i Instance) document(kind, service string, index uint64) object {
	host := cmp.Or(i.NodeAddress, "10.99.0.1")
	nodeAddresses := object{"lan": host, "wan": host}
	own := object{}
	for name, address := range i.Tagged {
		own[name] = object{"Address": address, "Port": i.Port}
	}
	weights := object{"Passing": max(i.Passing, 1), "Warning": max(i.Warning, 1)}
	id := cmp.Or(i.ID, service)
	tags := i.Tags
	if tags == nil {
		tags = []string{}
	}
	if kind == "catalog" {
		return object{
			"ID": nodeID, "Node": i.Node, "Address": host, "Datacenter": "dc1", "TaggedAddresses": nodeAddresses,
			"NodeMeta": object{"consul-network-segment": ""}, "ServiceKind": "", "ServiceID": id, "ServiceName": service,
			"ServiceTags": tags, "ServiceAddress": i.Address, "ServiceTaggedAddresses": own, "ServiceWeights": weights,
			"ServiceMeta": meta(i.Meta), "ServicePort": i.Port, "ServiceEnableTagOverride": false,
			"CreateIndex": index, "ModifyIndex": index,
		}
	}
	checks := []any{check(i.Node, "serfHealth", "passing", "", "", index)}
	for _, name := range slices.Sorted(maps.Keys(i.Checks)) {
		checks = append(checks, check(i.Node, name, i.Checks[name], id, service, index))
	}
	return object{
		"Node": object{
			"ID": nodeID, "Node": i.Node, "Address": host, "Datacenter": "dc1", "TaggedAddresses": nodeAddresses,
			"Meta": object{"consul-network-segment": ""}, "CreateIndex": 5, "ModifyIndex": 6,
		},
		"Service": object{
			"ID": id, "Service": service, "Tags": tags, "Address": i.Address, "TaggedAddresses": own, "Meta": meta(i.Meta),
			"Port": i.Port, "Weights": weights, "EnableTagOverride": false, "CreateIndex": index, "ModifyIndex": index,
		},
		"Checks": checks,
	}
}

const nodeID = "40e4a748-2192-161a-0510-9bf59fe950b5"

func check(node, id, status, serviceID, service string, index uint64) object {
	return object{
		"Node": node, "CheckID": id, "Name": id, "Status": status, "Notes": "", "Output": "", "ServiceID": serviceID,
		"ServiceName": service, "ServiceTags": []string{}, "Type": "", "Interval": "", "Timeout": "", "ExposedPort": 0,
		"Definition": object{}, "CreateIndex": index, "ModifyIndex": index,
	}
}

func meta(m map[string]string) object {
	all := object{}
	for key, value := range m {
		all[key] = value
	}
	return all
}

// document is the key as Consul writes it; a key without a value has null.
func (p pair) document(key string) object {
	var value any
	if p.value != "" {
		value = []byte(p.value)
	}
	return object{"LockIndex": 0, "Key": key, "Flags": 0, "Value": value, "CreateIndex": p.created, "ModifyIndex": p.change}
}
