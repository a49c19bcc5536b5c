package zkconn

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/go-zookeeper/zk"
)

// ACL says what may be done with a node; an empty one lets everybody do
// everything.
type ACL []zk.ACL

// permissions are ZooKeeper's, by their letters.
var permissions = map[rune]int32{'c': zk.PermCreate, 'd': zk.PermDelete, 'r': zk.PermRead, 'w': zk.PermWrite, 'a': zk.PermAdmin}

// ParseACL reads entries as zkCli has them, scheme:id:permissions, and the words
// open, read and creator for ZooKeeper's own OPEN_ACL_UNSAFE, READ_ACL_UNSAFE
// and CREATOR_ALL_ACL. An entry may hold several of them, with commas between.
func ParseACL(entries []string) (ACL, error) {
	var acl ACL
	for _, entry := range entries {
		for text := range strings.SplitSeq(entry, ",") {
			one, err := parseRule(strings.TrimSpace(text))
			if err != nil {
				return nil, fmt.Errorf("zk_acl: %w", err)
			}
			acl = append(acl, one)
		}
	}
	return acl, nil
}

func parseRule(text string) (zk.ACL, error) {
	switch text {
	case "open":
		return zk.ACL{Perms: zk.PermAll, Scheme: "world", ID: "anyone"}, nil
	case "read":
		return zk.ACL{Perms: zk.PermRead, Scheme: "world", ID: "anyone"}, nil
	case "creator":
		return zk.ACL{Perms: zk.PermAll, Scheme: "auth"}, nil
	}
	scheme, rest, found := strings.Cut(text, ":")
	at := strings.LastIndexByte(rest, ':')
	if !found || at < 0 || scheme == "" {
		return zk.ACL{}, fmt.Errorf("want open, read, creator or scheme:id:permissions, got %q", text)
	}
	rule := zk.ACL{Scheme: scheme, ID: rest[:at]}
	for _, letter := range rest[at+1:] {
		perm, ok := permissions[letter]
		if !ok {
			return rule, fmt.Errorf("%q: want permissions of c, d, r, w and a, got %q", text, letter)
		}
		rule.Perms |= perm
	}
	switch {
	case rule.Perms == 0:
		return rule, fmt.Errorf("%q gives no permission: want some of c, d, r, w and a", text)
	case scheme == "world" && rule.ID != "anyone":
		return rule, fmt.Errorf("%q: the id of world is anyone", text)
	case scheme == "digest" && !isDigest(rule.ID):
		return rule, errors.New("an entry with digest: want digest:user:hash:permissions, where hash is the base64 of the SHA-1 of user:password (28 characters)") // it may be a password
	case scheme == "ip" && !isNetwork(rule.ID):
		return rule, fmt.Errorf("%q: want ip:address or ip:address/bits", text)
	}
	return rule, nil
}

// isDigest tells a user and a hash from a user and a password.
func isDigest(id string) bool {
	user, hash, found := strings.Cut(id, ":")
	return found && user != "" && len(hash) == 28 && strings.HasSuffix(hash, "=")
}

func isNetwork(id string) bool {
	_, errAddr := netip.ParseAddr(id)
	_, errNet := netip.ParsePrefix(id)
	return errAddr == nil || errNet == nil
}

// needsCredential tells whether the ACL means whoever has made the node.
func (a ACL) needsCredential() bool {
	for _, rule := range a {
		if rule.Scheme == "auth" {
			return true
		}
	}
	return false
}

// orOpen is what the server gets.
func (a ACL) orOpen() []zk.ACL {
	if len(a) == 0 {
		return zk.WorldACL(zk.PermAll)
	}
	return a
}

// Rehearse asks whether a node could be made, and makes none: the request ends
// with a part that always fails, so that the server takes all of it back. The
// node's parent is made first if it is missing.
func (s *session) Rehearse(ctx context.Context, node string, mode Mode, acl ACL) error {
	if err := s.MakePath(ctx, parent(node), acl...); err != nil {
		return err
	}
	_, err := call(ctx, s, "rehearse the creation of", node, func(c *zk.Conn, p string) (struct{}, error) {
		_, err := c.Multi(
			&zk.CreateRequest{Path: p, Acl: acl.orOpen(), Flags: int32(mode)},
			&zk.CreateRequest{Path: path.Join(parent(p), "nobody has this", "rehearsal"), Acl: zk.WorldACL(zk.PermAll)},
		)
		if errors.Is(err, zk.ErrNoNode) { // all was well until then
			err = nil
		}
		return struct{}{}, err
	})
	return err
}
