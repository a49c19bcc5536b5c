package zkconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"smartstack/test/servers"
)

// TestBulkReadsAreExchanged compares every field with what single reads say.
func TestBulkReadsAreExchanged(t *testing.T) {
	p := servers.ZooKeeper(t)
	c := dial(t, p.Addr, 30*time.Second)
	create(t, c, "/a", "one", Persistent)
	create(t, c, "/e", "", Ephemeral)
	create(t, c, "/a/child", "x", Persistent)
	set, err := c.Set(t.Context(), "/a", []byte("two"), AnyVersion)
	done(t, set, err)
	nodes := []string{"/a", "/absent", "/e", "/a/child", "/absent/child"}
	got, err := GetMany(t.Context(), c, nodes, func(int) bool { return false }, func(_ int, n Node) Node { return n })
	if err != nil {
		t.Fatal(err)
	}
	for i, node := range nodes {
		want, err := c.Get(t.Context(), node)
		switch {
		case errors.Is(err, ErrNoNode):
			if got[i] != nil {
				t.Errorf("%s: got %+v", node, got[i])
			}
		case err != nil || got[i] == nil || string(got[i].Data) != string(want.Data) || got[i].Stat != want.Stat:
			t.Errorf("%s: got %+v, want %+v, %v", node, got[i], want, err)
		}
	}
	if c.noBulk.Load() {
		t.Error("bulk reads were not used")
	}
	if n := len(c.dialer.link.bulks) + len(c.dialer.tickets.waiting); n != 0 {
		t.Errorf("%d tickets are left", n)
	}
}

func TestBulkReadOfAForbiddenNode(t *testing.T) {
	p := servers.ZooKeeper(t)
	c := dial(t, p.Addr, 30*time.Second)
	create(t, c, "/a", "", Persistent)
	create(t, c, "/locked", "", Persistent)
	if _, err := c.zk.SetACL("/locked", zk.DigestACL(zk.PermAll, "a", "b"), AnyVersion); err != nil {
		t.Fatal(err)
	}
	_, err := GetMany(t.Context(), c, []string{"/a", "/locked"}, func(int) bool { return false }, func(int, Node) int { return 0 })
	if !errors.Is(err, ErrNoAuth) || IsLink(err) {
		t.Errorf("got %v", err)
	}
}

func TestLargeAnswersAreReadNodeByNode(t *testing.T) {
	p := servers.ZooKeeper(t)
	c := dial(t, p.Addr, 30*time.Second)
	data := strings.Repeat("x", maxRequest-1000)
	var nodes []string
	for i := range bulkBytes/len(data) + 2 {
		nodes = append(nodes, create(t, c, fmt.Sprintf("/n%d", i), data, Persistent))
	}
	link := c.State().Link
	got, err := GetMany(t.Context(), c, nodes, func(int) bool { return false }, func(_ int, n Node) int { return len(n.Data) })
	if err != nil {
		t.Fatal(err)
	}
	for i, n := range got {
		if n == nil || *n != len(data) {
			t.Fatalf("%s: %v", nodes[i], n)
		}
	}
	if c.State().Link != link || c.noBulk.Load() {
		t.Errorf("link %d after %d, no bulk %v", c.State().Link, link, c.noBulk.Load())
	}
}

// TestServerWithoutBulkReads lets the link send an operation that no server
// knows, as MultiRead is for one before 3.6: it answers and closes the link.
func TestServerWithoutBulkReads(t *testing.T) {
	p := servers.ZooKeeper(t)
	c := dial(t, p.Addr, 30*time.Second)
	nodes := []string{create(t, c, "/a", "1", Persistent), create(t, c, "/b", "2", Persistent)}
	c.dialer.link.multiRead = 77
	read := func() error {
		got, err := GetMany(t.Context(), c, nodes, func(int) bool { return false }, func(_ int, n Node) string { return string(n.Data) })
		if err == nil && (*got[0] != "1" || *got[1] != "2") {
			t.Errorf("got %s %s", *got[0], *got[1])
		}
		return err
	}
	if err := read(); err != nil && !IsLink(err) {
		t.Fatal(err)
	}
	servers.Eventually(t, read)
	if !c.noBulk.Load() {
		t.Error("the server is still asked for bulk reads")
	}
}

func FuzzBulkAnswer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 'x'}, 1)
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0x9b, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, 0}, 1)
	f.Add(noResults[:], 0)
	f.Fuzz(func(t *testing.T, body []byte, want int) {
		n := 0
		err := parseBulk(body, want, func(i int, node Node, _ error) {
			if i != n || len(node.Data) > len(body) {
				t.Errorf("answer %d of %d bytes after %d", i, len(node.Data), n)
			}
			n++
		})
		if err == nil && n != want {
			t.Errorf("%d answers instead of %d", n, want)
		}
	})
}

func FuzzExchange(f *testing.F) {
	f.Add(binary.BigEndian.AppendUint32(make([]byte, 12), opCheck))
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < 20 {
			return
		}
		frame, _, ok := exchange(nil, p)
		if ok && int(binary.BigEndian.Uint32(frame)) != len(frame)-4 {
			t.Error("wrong length")
		}
	})
}
