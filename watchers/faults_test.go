package watchers

import (
	"strings"
	"testing"

	"smartstack/internal/config"
)

// A fault is shown where its option stands, and each of several.
func TestFaultsNameTheLine(t *testing.T) {
	for text, want := range map[string][]string{
		"{\n\"method\": \"marathon\",\n\"marathon_api_url\": \"m\",\n\"application_name\": \"web\",\n\"health\": \"some\",\n\"transport\": \"pigeon\"}": {"s.json:3", "s.json:5", "s.json:6"},
		"{\n\"method\": \"marathon\",\n\"marathon_api_url\": \"http://m\",\n\"application_name\": \"web\",\n\"user\": \"u\"}":                           {"s.json:5"},
		"{\n\"method\": \"marathon\",\n\"marathon_api_url\": \"http://m\",\n\"application_name\": \"web\",\n\"port_name\": \"a\",\n\"port\": 1}":        {"s.json:5"},
		"{\n\"method\": \"consul\",\n\"service\": \"web\",\n\"hosts\": \"a b\"}":                                                                        {"s.json:4"},
		"{\n\"method\": \"consul\",\n\"service\": \"web\",\n\"status\": \"good\"}":                                                                      {"s.json:4"},
		"{\n\"method\": \"ec2tag\",\n\"tag_name\": \"role\",\n\"port_tag\": \"p\",\n\"address\": \"x\"}":                                                {"s.json:5"},
		"{\n\"method\": \"ec2tag\",\n\"tag_name\": \"role\"}":                                                                                           {"s.json:1"}, // what is missing has no line
		"{\n\"method\": \"zookeeper\",\n\"hosts\": \"zk\",\n\"path\": \"/x\",\n\"watch_data\": \"x\"}":                                                  {"s.json:5"},
		"{\n\"method\": \"docker\",\n\"image_name\": \"web\", \"servers\": [\"h\"],\n\"container_port\": \"x\"}":                                        {"s.json:4"},
		"{\n\"method\": \"dns\",\n\"servers\": [\"a:1\"],\n\"nameserver\": \"ns.example.com\"}":                                                         {"s.json:4"},
		"{\n\"method\": \"etcd\",\n\"path\": \"/x\",\n\"hosts\": \"a b\"}":                                                                              {"s.json:4"},
	} {
		r := &config.Report{Strict: true}
		if w := New(parse(t, text), testDeps(), r); w != nil {
			t.Errorf("%s: made", text)
		}
		var places []string
		for _, f := range r.Faults() {
			file, rest, _ := strings.Cut(f.Error(), ":")
			line, _, _ := strings.Cut(rest, ":")
			places = append(places, file+":"+line)
		}
		if strings.Join(places, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v", text, r.Err())
		}
	}
}
