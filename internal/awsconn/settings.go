package awsconn

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// settings are the environment and the files of AWS. Clients of the library
// ask it, by way of aws.Config.ConfigSources, for what is special to them.
type settings struct {
	env      func(variable string) string
	name     string // the profile's
	profile  section
	sections map[string]section
}

func readSettings(env func(variable string) string) (settings, error) {
	files := []string{
		cmp.Or(env("AWS_CONFIG_FILE"), awsFile("config")),
		cmp.Or(env("AWS_SHARED_CREDENTIALS_FILE"), awsFile("credentials")),
	}
	sections, unread := readFiles(files[0], files[1])
	name := cmp.Or(env("AWS_PROFILE"), env("AWS_DEFAULT_PROFILE"))
	profile, err := pick(sections, name, files, unread)
	s := settings{env: env, name: cmp.Or(name, "default"), profile: profile, sections: sections}
	if err == nil {
		err = s.check()
	}
	return s, err
}

// get returns what the environment says, else the profile.
func (s settings) get(variable, key string) string {
	return cmp.Or(s.env(variable), s.profile[key])
}

// check refuses words that the getters below would take for "not set".
func (s settings) check() error {
	for variable, key := range map[string]string{
		"AWS_USE_FIPS_ENDPOINT": "use_fips_endpoint", "AWS_USE_DUALSTACK_ENDPOINT": "use_dualstack_endpoint",
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "ignore_configured_endpoint_urls", "AWS_EC2_METADATA_V1_DISABLED": "ec2_metadata_v1_disabled",
	} {
		if word := strings.ToLower(s.get(variable, key)); word != "" && word != "true" && word != "false" {
			return fmt.Errorf("%s (or %s in the AWS profile %q): want true or false, got %q", variable, key, s.name, word)
		}
	}
	var mode imds.EndpointModeState
	if err := mode.SetFromString(s.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode")); err != nil {
		return fmt.Errorf("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE: %w", err)
	}
	return nil
}

// flag returns a setting that is true, false or not set.
func (s settings) flag(variable, key string) (value, set bool) {
	word := s.get(variable, key)
	return strings.EqualFold(word, "true"), word != ""
}

// endpoint returns where the service is called, empty = where AWS has it. The
// environment goes before the profile, and in each the service before all.
func (s settings) endpoint(service string) string {
	if ignore, _ := s.flag("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "ignore_configured_endpoint_urls"); ignore {
		return ""
	}
	services := s.sections["services "+s.profile["services"]]
	return cmp.Or(s.env("AWS_ENDPOINT_URL_"+service), s.env("AWS_ENDPOINT_URL"),
		services[strings.ToLower(service)+".endpoint_url"], s.profile["endpoint_url"])
}

// GetUseFIPSEndpoint is asked by the clients of the library.
func (s settings) GetUseFIPSEndpoint(context.Context) (aws.FIPSEndpointState, bool, error) {
	on, set := s.flag("AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint")
	if on {
		return aws.FIPSEndpointStateEnabled, set, nil
	}
	return aws.FIPSEndpointStateDisabled, set, nil
}

// GetUseDualStackEndpoint is asked by the clients of the library.
func (s settings) GetUseDualStackEndpoint(context.Context) (aws.DualStackEndpointState, bool, error) {
	on, set := s.flag("AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint")
	if on {
		return aws.DualStackEndpointStateEnabled, set, nil
	}
	return aws.DualStackEndpointStateDisabled, set, nil
}

// GetEC2IMDSClientEnableState is asked by the client of the host's metadata,
// as are those that follow.
func (s settings) GetEC2IMDSClientEnableState() (imds.ClientEnableState, bool, error) {
	if strings.EqualFold(s.env("AWS_EC2_METADATA_DISABLED"), "true") {
		return imds.ClientDisabled, true, nil
	}
	return imds.ClientDefaultEnableState, false, nil
}

// GetEC2IMDSEndpoint returns where the metadata are.
func (s settings) GetEC2IMDSEndpoint() (string, bool, error) {
	place := s.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "ec2_metadata_service_endpoint")
	return place, place != "", nil
}

// GetEC2IMDSEndpointMode returns whether they are called by IPv6.
func (s settings) GetEC2IMDSEndpointMode() (mode imds.EndpointModeState, set bool, err error) {
	err = mode.SetFromString(s.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ec2_metadata_service_endpoint_mode"))
	return mode, mode != imds.EndpointModeStateUnset, err
}

// GetEC2IMDSV1FallbackDisabled returns whether version 1 is never tried.
func (s settings) GetEC2IMDSV1FallbackDisabled() (disabled, set bool) {
	return s.flag("AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled")
}
