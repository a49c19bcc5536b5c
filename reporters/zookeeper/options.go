package zookeeper

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"smartstack/internal/config"
	"smartstack/internal/service"
	"smartstack/internal/zkconn"
)

// Options are the keys of the reporter type zookeeper.
type Options struct {
	Hosts           []string       `cfg:"zk_hosts,required" doc:"ZooKeeper servers, host:port; a /chroot may follow."`
	Path            string         `cfg:"zk_path,required" doc:"The node below which the service is registered."`
	Chroot          string         `cfg:"zk_chroot" doc:"The node below which all paths lie."`
	UsePathEncoding bool           `cfg:"use_path_encoding" default:"false" doc:"Whether the node's name carries the registration, so that readers need not read the node."`
	NodeType        string         `cfg:"node_type" default:"ephemeral_sequential" doc:"ephemeral_sequential, persistent_sequential, persistent or ephemeral."`
	TTL             config.Seconds `cfg:"ttl_seconds" doc:"Time between two rewrites of a persistent node, in seconds, for whoever removes stale ones; 0 means never."`
	SessionTimeout  config.Seconds `cfg:"zk_session_timeout|session_timeout" default:"32" doc:"How long ZooKeeper keeps the session of a silent nerve, and with it ephemeral nodes, in seconds."`
	ClusterName     string         `cfg:"zk_cluster_name" doc:"The name of the ensemble in metrics."`
	zkconn.Access
}

const defaultTimeout = 32 * time.Second

// New makes a reporter without I/O.
func New(o Options, pool *zkconn.Pool, log *slog.Logger) (*Reporter, error) {
	r := &Reporter{pool: pool, log: log, encode: o.UsePathEncoding, cluster: o.ClusterName, ensemble: zkconn.Ensemble{
		Hosts: o.Hosts, Chroot: o.Chroot, Access: o.Access,
		SessionTimeout: cmp.Or(o.SessionTimeout.Duration(), defaultTimeout),
	}}
	hosts := r.ensemble.Check()
	if hosts != nil {
		hosts = fmt.Errorf("zk_hosts: %w", hosts)
	}
	var path, acl, mode error
	if r.path, path = zkconn.CleanPath(o.Path); path != nil {
		path = fmt.Errorf("zk_path: %w", path)
	}
	r.acl, acl = zkconn.ParseACL(o.ACL)
	r.mode, mode = modeOf(o.NodeType)
	if err := errors.Join(hosts, path, acl, mode); err != nil {
		return nil, err
	}
	r.leftovers = !r.mode.IsEphemeral()
	r.ttl = o.TTL.Duration()
	if r.ttl > 0 && r.mode.IsEphemeral() {
		log.Warn("ttl_seconds is for persistent node types only, ignored")
		r.ttl = 0
	}
	return r, nil
}

// modeOf reads node_type.
func modeOf(nodeType string) (zkconn.Mode, error) {
	switch nodeType {
	case "", "ephemeral_sequential":
		return zkconn.EphemeralSequential, nil
	case "persistent_sequential":
		return zkconn.PersistentSequential, nil
	case "persistent":
		return zkconn.Persistent, nil
	case "ephemeral":
		return zkconn.Ephemeral, nil
	}
	return 0, fmt.Errorf("node_type: unknown word %q, want ephemeral_sequential, persistent_sequential, persistent or ephemeral", nodeType)
}

// maxEncoded is the longest encoded registration that goes into a name.
const maxEncoded = 65536

// nodeName returns the beginning of a node's name, to which a sequential type
// adds ten digits.
func (r *Reporter) nodeName(b service.Backend, payload string) (string, error) {
	if r.encode {
		if text := base64.URLEncoding.EncodeToString([]byte(payload)); len(text) <= maxEncoded {
			return fmt.Sprintf("base64_%d_%s_", len(text), text), nil
		}
	}
	name := b.Name + "_"
	if strings.Contains(name, "/") {
		return "", fmt.Errorf("instance id %q: a node's name cannot hold a slash", b.Name)
	}
	if _, err := zkconn.CleanPath(name); err != nil {
		return "", fmt.Errorf("instance id: %w", err)
	}
	return name, nil
}
