package etcd

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"smartstack/internal/service"
	"smartstack/test/servers"
)

// What others than nerve keep below a path is recognised key by key.
func TestLayoutsOfOthers(t *testing.T) {
	t.Parallel()
	etcd := servers.Etcd(t)
	a := newAdmin(t, etcd.Addr)
	for key, value := range map[string]string{
		"10.0.0.1:80":       `{"weight":3,"max_fails":2,"fail_timeout":10,"down":0,"backup":1}`, // nginx-upsync
		"10.0.0.2:80":       `{"weight":1,"down":1}`,
		"node3:web_1:80":    "10.0.0.3:32768", // Registrator
		"i-4/1":             `{"host":"10.0.0.4","port":80,"name":"i-4"}`,
		"i-5":               `{"host":"10.0.0.5","port":80,"name":"i-5","available":false,"unavailable_reason":"disk full"}`,
		"node6:web_1:80/_x": "10.0.0.6:1", // hidden
	} {
		a.put("/upstreams/web/"+key, value)
	}
	updates, _ := run(t, newWatcher(t, newPool(), etcd.Addr, "/upstreams/web"))
	got := next(t, updates)
	want := service.SetOf(
		service.Backend{Host: "10.0.0.1", Port: 80, Weight: service.KnownInt(3), Backup: true, Labels: `{"max_fails":2,"fail_timeout":10}`},
		service.Backend{Name: "i-4", Host: "10.0.0.4", Port: 80, ID: service.KnownInt(1)},
		service.Backend{Name: "node3:web_1:80", Host: "10.0.0.3", Port: 32768},
	)
	if !got.Backends.Equal(want) {
		t.Errorf("got %+v", got.Backends)
	}
	if d := cmp.Diff([]service.Rejection{
		{Entry: "/upstreams/web/10.0.0.2:80", Reason: "is marked as down"},
		{Entry: "/upstreams/web/i-5", Reason: "is registered as not available: disk full"},
	}, got.Rejected); d != "" {
		t.Error(d)
	}
	a.put("/upstreams/web/10.0.0.2:80", `{"weight":1,"down":0}`)
	if n := next(t, updates).Backends.Len(); n != 4 {
		t.Errorf("%d backends after a server was marked as up, want 4", n)
	}
	a.put("/upstreams/web/10.0.0.7:80", "")
	if u := next(t, updates); u.RejectedTotal != 2 {
		t.Errorf("rejected %+v: a key without a value is a server only where decode.method is upsync", u.Rejected)
	}
}

func TestUnknownLayout(t *testing.T) {
	o := Options{Hosts: []string{"a"}, Path: "/x"}
	o.Decode.Method = "confd"
	if _, err := New(o, newPool(), nil); err == nil {
		t.Error("decode.method confd was taken")
	}
}
