package stories

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// schema is as much of JSON Schema as ours uses.
type schema struct {
	Ref                  string `json:"$ref"`
	Type                 string
	Const                any
	Enum                 []any
	Required             []string
	Properties           map[string]schema
	Items                *schema
	AdditionalProperties *schema
	Defs                 map[string]schema `json:"$defs"`
}

// check returns what is wrong with v at a path. Keys that the schema does not
// name are wrong too: whoever adds one describes it.
func (s schema) check(root *schema, at string, v any) []string {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		return root.Defs[name].check(root, at, v)
	}
	var bad []string
	if s.Const != nil && v != s.Const || s.Enum != nil && !slices.Contains(s.Enum, v) {
		bad = append(bad, fmt.Sprintf("%s is %v", at, v))
	}
	kind := map[string]bool{}
	switch v := v.(type) {
	case string:
		kind["string"] = true
	case bool:
		kind["boolean"] = true
	case float64:
		kind["number"], kind["integer"] = true, v == float64(int64(v))
	case []any:
		kind["array"] = true
		for i := range v {
			if s.Items != nil {
				bad = append(bad, s.Items.check(root, fmt.Sprintf("%s[%d]", at, i), v[i])...)
			}
		}
	case map[string]any:
		kind["object"] = true
		for _, key := range s.Required {
			if _, ok := v[key]; !ok {
				bad = append(bad, at+"."+key+" is missing")
			}
		}
		for key, value := range v {
			switch sub, ok := s.Properties[key]; {
			case ok:
				bad = append(bad, sub.check(root, at+"."+key, value)...)
			case s.AdditionalProperties != nil:
				bad = append(bad, s.AdditionalProperties.check(root, at+"."+key, value)...)
			default:
				bad = append(bad, at+"."+key+" is not described")
			}
		}
	}
	if s.Type != "" && !kind[s.Type] {
		bad = append(bad, fmt.Sprintf("%s is no %s: %v", at, s.Type, v))
	}
	return bad
}

func readSchema(t *testing.T, name string) *schema {
	t.Helper()
	text, err := os.ReadFile("../../docs/monitoring/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var s schema
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}

// follows fails the test unless a text is JSON as a schema of docs/monitoring
// says.
func follows(t *testing.T, text, name string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.300s", err, text)
	}
	s := readSchema(t, name)
	for _, bad := range s.check(s, "it", v) {
		t.Errorf("%s: %s", name, bad)
	}
}

const (
	statusSchema   = "status.schema.json"
	servicesSchema = "nerve-services.schema.json"
)

func TestTheSchemaCheckNotices(t *testing.T) {
	s := readSchema(t, statusSchema)
	for text, want := range map[string]string{
		`{}`:                                "status.version is missing",
		`{"version": 2}`:                    "status.version is 2",
		`{"ready": 1}`:                      "status.ready is no boolean",
		`{"services": [{"state": "fine"}]}`: "status.services[0].state is fine",
		`{"secret": "x"}`:                   "status.secret is not described",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if bad := strings.Join(s.check(s, "status", v), "\n"); !strings.Contains(bad, want) {
			t.Errorf("%s: %s is not noticed:\n%s", text, want, bad)
		}
	}
}
