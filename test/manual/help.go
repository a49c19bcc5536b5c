package main

import (
	"fmt"
	"regexp"
	"strings"
)

// help is what `program --help` says.
type help struct {
	program  string
	synopsis []string  // the calls, after "Usage:"
	about    []string  // paragraphs between the calls and the first list
	options  []option  // below "Options:"
	commands []command // below "Commands:"
	rest     []section // every other heading, and what stands below it
}

// option is one flag.
type option struct {
	short string // "-c"; may be empty
	long  string // "--config"; may be empty
	value string // "FILE"; empty = takes none
	doc   string
}

// command is a word that may follow the program's name.
type command struct {
	name string
	args string
	doc  string
	help *help // its own, without the doc; nil = not asked for yet
}

type section struct{ title, text string }

var (
	optionLine  = regexp.MustCompile(`^ {2,6}(-\w)?(?:, |\s+)?(--[\w-]+)?((?: |=)[^ \t]+)?(?:  +(.*))?$`)
	commandLine = regexp.MustCompile(`^  ([a-z][\w-]*)(?: .*)?$`)
	heading     = regexp.MustCompile(`^([A-Z]\w*(?: \w+){0,2})(?:,[^:]*)?:\s*(.*)$`)
)

// parseHelp reads the text of --help. It fails on what it does not understand,
// so that no page lacks an option silently.
func parseHelp(program, text string) (*help, error) {
	h := &help{program: program}
	blocks := strings.Split(strings.TrimSpace(text), "\n\n")
	first := strings.Split(blocks[0], "\n")
	if !strings.HasPrefix(first[0], "Usage: "+program) {
		return nil, fmt.Errorf("the help of %s begins with %q, not with its usage", program, first[0])
	}
	for _, line := range first {
		h.synopsis = append(h.synopsis, strings.TrimSpace(strings.TrimPrefix(line, "Usage:")))
	}
	for _, block := range blocks[1:] {
		if err := h.block(block); err != nil {
			return nil, fmt.Errorf("the help of %s: %w", program, err)
		}
	}
	return h, nil
}

func (h *help) block(block string) error {
	title, body, _ := strings.Cut(block, "\n")
	head := heading.FindStringSubmatch(title)
	switch {
	case head == nil:
		h.about = append(h.about, joined(block))
	case head[1] == "Options" && head[2] == "":
		for _, entry := range entries(body) {
			o, err := parseOption(entry)
			if err != nil {
				return err
			}
			h.addOption(o)
		}
	case head[1] == "Commands" && head[2] == "":
		for _, entry := range entries(body) {
			m := commandLine.FindStringSubmatch(entry)
			if m == nil {
				return fmt.Errorf("what command is %q?", entry)
			}
			h.commands = append(h.commands, command{name: m[1]})
		}
	default:
		h.rest = append(h.rest, section{head[1], joined(head[2] + "\n" + body)})
	}
	return nil
}

// addOption adds o, unless it is the other name of the one before.
func (h *help) addOption(o option) {
	if n := len(h.options); n > 0 {
		last := &h.options[n-1]
		if last.long == "" && o.short == "" && last.doc == o.doc && last.value == o.value {
			last.long = o.long
			return
		}
	}
	h.options = append(h.options, o)
}

// explain adds what `program command --help` says to the command.
func (c *command) explain(program, text string) error {
	var err error
	if c.help, err = parseHelp(program, text); err != nil {
		return err
	}
	args := strings.TrimPrefix(c.help.synopsis[0], program+" "+c.name)
	c.args = strings.TrimSpace(strings.ReplaceAll(args, "[options]", ""))
	if len(c.help.about) == 0 {
		return fmt.Errorf("the help of %s %s does not say what it does", program, c.name)
	}
	c.doc, c.help.about = c.help.about[0], c.help.about[1:]
	return nil
}

// entries joins each line with those that go on with it: they are indented by
// far more than a new entry is.
func entries(body string) []string {
	var all []string
	for line := range strings.SplitSeq(strings.TrimRight(body, "\n"), "\n") {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		if indent > 6 && len(all) > 0 {
			all[len(all)-1] += " " + strings.TrimSpace(line)
			continue
		}
		all = append(all, line)
	}
	return all
}

func parseOption(entry string) (option, error) {
	m := optionLine.FindStringSubmatch(entry)
	if m == nil || m[1]+m[2] == "" || m[4] == "" {
		return option{}, fmt.Errorf("what option is %q?", entry)
	}
	return option{short: m[1], long: m[2], value: strings.TrimLeft(m[3], " ="), doc: m[4]}, nil
}

// choices returns the values that the option's text lists as "a or b", or
// "a, b or c", at its beginning.
func (o option) choices() []string {
	m := choiceText.FindStringSubmatch(o.doc)
	if o.value == "" || m == nil {
		return nil
	}
	return strings.FieldsFunc(strings.Replace(m[1], " or ", ",", 1), func(r rune) bool { return r == ',' || r == ' ' })
}

var choiceText = regexp.MustCompile(`^([a-z]+(?:, [a-z]+)* or [a-z]+)(?:[;,.]|$)`)

// isFile tells whether the option's value names a file.
func (o option) isFile() bool {
	switch o.value {
	case "FILE", "DIR", "PATH", "SOCKET":
		return true
	}
	return false
}

// joined is one paragraph on one line.
func joined(text string) string { return strings.Join(strings.Fields(text), " ") }
