package awsconn

import (
	"fmt"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
)

// section is one part of a file of AWS: its keys, in small letters. A value
// that is indented below another key stands under both: "ec2.endpoint_url".
type section map[string]string

// readFiles reads the profiles, and "services NAME", of both files. Files that
// cannot be read count as empty, as for all AWS tools; unread tells of them.
func readFiles(configFile, keysFile string) (sections map[string]section, unread []string) {
	read := func(name string) map[string]section {
		data, err := os.ReadFile(name)
		if err != nil {
			unread = append(unread, err.Error())
		}
		return parse(string(data))
	}
	sections = map[string]section{}
	all := read(configFile)
	for name, s := range all {
		plain, isProfile := strings.CutPrefix(name, "profile ")
		if isProfile || strings.HasPrefix(name, "services ") || name == "default" && all["profile default"] == nil {
			sections[plain] = s
		}
	}
	for name, s := range read(keysFile) {
		if strings.HasPrefix(name, "profile ") || strings.HasPrefix(name, "services ") {
			continue
		}
		if sections[name] == nil {
			sections[name] = section{}
		}
		if s[keyID] != "" { // keys go together
			for _, key := range []string{keyID, keySecret, keyToken} {
				delete(sections[name], key)
			}
		}
		maps.Copy(sections[name], s)
	}
	return sections, unread
}

const (
	keyID     = "aws_access_key_id"
	keySecret = "aws_secret_access_key"
	keyToken  = "aws_session_token"
)

// parse reads a file of AWS by the rules of AWS: what is no section, key or
// comment is passed over.
func parse(text string) map[string]section {
	sections := map[string]section{}
	var here section
	var above string // the key that indented lines belong to
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		bare := strings.TrimSpace(line)
		if bare == "" || bare[0] == '#' || bare[0] == ';' {
			continue
		}
		if name, ok := heading(bare); ok {
			if sections[name] == nil {
				sections[name] = section{}
			}
			here, above = sections[name], ""
			continue
		}
		key, value, ok := property(bare)
		switch indented := line[0] == ' ' || line[0] == '\t'; {
		case here == nil || !ok:
		case indented && above != "" && here[above] == "":
			here[above+"."+key] = value
		default:
			here[key], above = value, key
		}
	}
	return sections
}

// heading returns the name in "[profile  name] # comment".
func heading(line string) (string, bool) {
	if i := strings.IndexAny(line, "#;"); i >= 0 {
		line = strings.TrimSpace(line[:i])
	}
	inner, opened := strings.CutPrefix(line, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	return strings.Join(strings.Fields(inner), " "), opened && closed
}

func property(line string) (key, value string, ok bool) {
	for _, comment := range []string{" #", " ;", "\t#", "\t;"} {
		line, _, _ = strings.Cut(line, comment)
	}
	i := strings.IndexAny(line, "=:")
	if i < 1 {
		return "", "", false
	}
	key, value = strings.ToLower(strings.TrimSpace(line[:i])), strings.TrimSpace(line[i+1:])
	for _, quote := range []string{`"`, `'`} {
		if len(value) > 1 && strings.HasPrefix(value, quote) && strings.HasSuffix(value, quote) {
			value = value[1 : len(value)-1]
			break
		}
	}
	return key, value, key != ""
}

// home is where ~/.aws is. Services of systemd may run without HOME.
func home() string {
	if dir, err := os.UserHomeDir(); err == nil {
		return dir
	}
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return ""
}

// pick returns the profile that is in use. Without a name in the environment
// it may be missing.
func pick(sections map[string]section, name string, files, unread []string) (section, error) {
	found := sections[name]
	if name == "" {
		name, found = "default", sections["default"]
	} else if found == nil {
		reason := ""
		if len(unread) > 0 {
			reason = " (" + strings.Join(unread, "; ") + ")"
		}
		return nil, fmt.Errorf("AWS_PROFILE: no profile %q in %s%s", name, strings.Join(slices.Compact(files), " or "), reason)
	}
	if (found[keyID] == "") != (found[keySecret] == "") {
		return nil, fmt.Errorf("the AWS profile %q: %s and %s are needed together", name, keyID, keySecret)
	}
	return found, nil
}

func awsFile(name string) string { return filepath.Join(home(), ".aws", name) }
