package config_test

import (
	"testing"

	"smartstack/internal/config"

	"github.com/google/go-cmp/cmp"
)

func TestDescribe(t *testing.T) {
	type tree struct {
		Kids []struct {
			Kid *fleet `cfg:"kid"`
		} `cfg:"kids"`
		Opt config.Optional[[]string] `cfg:"opt|o"`
		Raw config.JSON               `cfg:"raw"`
	}
	got := config.Describe(&options{})
	got = append(got, config.Describe(tree{})...)
	want := []config.Field{
		{Path: "check_interval", Type: "seconds", Default: "0.5"},
		{Path: "hosts", Aliases: []string{"zk_hosts"}, Type: "list of text", Default: "[a, b]"},
		{Path: "path", Type: "text", Default: "/"},
		{Path: "statsd", Type: "object"},
		{Path: "statsd.host", Type: "text", Default: "localhost"},
		{Path: "statsd.port", Type: "whole number", Default: "8125"},
		{Path: "max", Type: "whole number", Default: "10"},
		{Path: "tag", Type: "text", Default: "none"},
		{Path: "kids", Type: "list of object"},
		{Path: "kids[].kid", Type: "object"},
		{Path: "kids[].kid.instance_id", Type: "text", Required: true},
		{Path: "kids[].kid.services", Type: "object of object"},
		{Path: "kids[].kid.services.*.host", Type: "text", Doc: "Address to register.", Required: true},
		{Path: "kids[].kid.services.*.port", Type: "whole number", Required: true},
		{Path: "kids[].kid.services.*.checks", Type: "list of object"},
		{Path: "kids[].kid.services.*.checks[].type", Type: "text", Required: true},
		{Path: "opt", Aliases: []string{"o"}, Type: "list of text"},
		{Path: "raw", Type: "anything"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
