package consulconn

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func recorded(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("../../test/consulfake/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestRecordedAnswers(t *testing.T) {
	for _, c := range []struct {
		file  string
		query Query
		want  Answer
	}{
		{"health.json", Health("web", Read{}), Answer{Instances: []Instance{{
			Node: "web-node-1", ID: "web-1", Address: "10.21.0.5", Host: "10.20.0.11", Port: 8000,
			Tagged: map[string]Tagged{
				"lan": {Address: "10.20.0.11"}, "lan_ipv4": {Address: "10.20.0.11"},
				"wan": {Address: "203.0.113.50", Port: 8443}, "wan_ipv4": {Address: "203.0.113.11"},
			},
			Tags: []string{"primary", "v2"}, Meta: `{"version":"2.4"}`, Passing: 10, Warning: 2, Created: 41,
			Status: Warning, Why: `its check "service:web-1" warns`,
		}}}},
		{"catalog.json", Catalog("web", Read{}), Answer{Instances: []Instance{{
			Node: "web-node-1", ID: "web-1", Host: "10.20.0.11", Port: 8000,
			Tagged: map[string]Tagged{"lan": {Address: "10.20.0.11"}, "wan": {Address: "203.0.113.50", Port: 8443}},
			Tags:   []string{"primary", "v2"}, Meta: `{"version":"2.4"}`, Passing: 1, Warning: 1, Created: 41,
		}}}},
		{"kv.json", Keys("/upstreams/web/", Read{}), Answer{Pairs: []Pair{
			{Key: "10.20.0.11:8000", Value: []byte(`{"weight":2, "max_fails":2, "fail_timeout":10}`), Create: 91},
			{Key: "10.20.0.12:8000", Create: 92},
		}}},
	} {
		got, err := decode(&page{body: recorded(t, c.file)}, c.query)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(&c.want, got, cmpopts.IgnoreUnexported(Answer{}), cmpopts.EquateEmpty()); d != "" {
			t.Errorf("%s: %s", c.file, d)
		}
	}
}

func TestBadAnswers(t *testing.T) {
	for body, query := range map[string]Query{
		"":                              Health("w", Read{}),
		"null":                          Health("w", Read{}),
		"{}":                            Catalog("w", Read{}),
		"[{]":                           Catalog("w", Read{}),
		`[{"Node":{"Node":"n"}}`:        Health("w", Read{}),
		`[{"Node":"n"}]`:                Health("w", Read{}),
		`[{"Key":"b/x","Value":null}]`:  Keys("a", Read{}),
		`[{"Key":"a/x","Value":"%%%"}]`: Keys("a", Read{}),
	} {
		if got, err := decode(&page{body: []byte(body)}, query); err == nil {
			t.Errorf("%s was read as %+v", body, got)
		}
	}
}

func TestWorstCheck(t *testing.T) {
	for _, c := range []struct {
		checks      []check
		status, why string
	}{
		{nil, Passing, ""},
		{[]check{{"serfHealth", Passing}, {"a", Passing}}, Passing, ""},
		{[]check{{"a", Warning}, {"b", Passing}}, Warning, `its check "a" warns`},
		{[]check{{"a", Warning}, {"b", Critical}, {"c", Critical}}, Critical, `its check "b" is critical`},
		{[]check{{"b", Critical}, {"_node_maintenance", Critical}}, Critical, "is in maintenance"},
		{[]check{{"_service_maintenance:web-1", Critical}}, Critical, "is in maintenance"},
		{[]check{{"a", "unknown"}}, Critical, `its check "a" is unknown`},
	} {
		if status, why, _ := worst(c.checks); status != c.status || why != c.why {
			t.Errorf("%v: %s, %s", c.checks, status, why)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		q      Query
		index  uint64
		leader bool
		want   string
	}{
		{Health("web", Read{}), 0, false, "/v1/health/service/web"},
		{Health("a/b c", Read{Datacenter: "dc 2", Stale: true}), 7, false, "/v1/health/service/a%2Fb%20c?dc=dc+2&stale&index=7&wait=60000ms"},
		{Catalog("web", Read{Stale: true}), 7, true, "/v1/catalog/service/web?index=7&wait=60000ms"},
		{Keys("/up streams/web", Read{}), 0, false, "/v1/kv/up%20streams/web/?recurse"},
	} {
		if got := c.q.address(c.index, defaultWait, c.leader); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, file := range []string{"health.json", "catalog.json", "kv.json"} {
		f.Add(recorded(f, file))
	}
	f.Add([]byte(`[{"Service":{"Meta":{"a":1},"Weights":null},"Checks":[null]}]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, q := range []Query{Health("w", Read{}), Catalog("w", Read{}), Keys("upstreams/web", Read{})} {
			a, err := decode(&page{body: body}, q)
			if err != nil {
				continue
			}
			for _, p := range a.Pairs {
				if p.Key == "" || strings.HasSuffix(p.Key, "/") {
					t.Errorf("a folder is a key: %q", p.Key)
				}
			}
		}
	})
}
