package main

import (
	"fmt"
	"strings"
)

// page1 is the manual page of the program.
func page1(h *help, date string) string {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 %s SmartStack \"User Commands\"\n", quoted(strings.ToUpper(h.program)), quoted(date))
	b.WriteString(".SH NAME\n")
	fmt.Fprintf(&b, "%s \\- %s\n", roff(h.program), roff(summary(h)))
	b.WriteString(".SH SYNOPSIS\n")
	for i, call := range h.synopsis {
		if i > 0 {
			b.WriteString(".br\n")
		}
		name, arguments, _ := strings.Cut(call, " ")
		fmt.Fprintf(&b, ".B %s\n%s\n", roff(name), roff(arguments))
	}
	b.WriteString(".SH DESCRIPTION\n")
	paragraphs(&b, h.about)
	optionList(&b, "SH OPTIONS", h.options)
	commandList(&b, h.commands)
	for _, s := range h.rest {
		fmt.Fprintf(&b, ".SH %s\n%s\n", quoted(strings.ToUpper(s.title)), roff(s.text))
	}
	return b.String()
}

func paragraphs(b *strings.Builder, all []string) {
	for i, text := range all {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		b.WriteString(roff(text) + "\n")
	}
}

func optionList(b *strings.Builder, head string, options []option) {
	if len(options) == 0 {
		return
	}
	fmt.Fprintf(b, ".%s\n", head)
	for _, o := range options {
		var names []string
		for _, name := range []string{o.short, o.long} {
			if name != "" {
				names = append(names, `\fB`+roff(name)+`\fR`)
			}
		}
		fmt.Fprintf(b, ".TP\n%s", strings.Join(names, ", "))
		if o.value != "" {
			fmt.Fprintf(b, ` \fI%s\fR`, roff(o.value))
		}
		fmt.Fprintf(b, "\n%s\n", roff(o.doc))
	}
}

func commandList(b *strings.Builder, commands []command) {
	if len(commands) == 0 {
		return
	}
	b.WriteString(".SH COMMANDS\n")
	for _, c := range commands {
		fmt.Fprintf(b, ".SS %s\n%s\n", quoted(strings.TrimSpace(c.name+" "+c.args)), roff(c.doc))
		if c.help == nil {
			continue
		}
		for _, text := range c.help.about {
			fmt.Fprintf(b, ".PP\n%s\n", roff(text))
		}
		optionList(b, "PP", c.help.options)
		for _, s := range c.help.rest {
			fmt.Fprintf(b, ".PP\n%s: %s\n", roff(s.title), roff(s.text))
		}
	}
}

// summary is the first sentence about the program, as man -k shows it.
func summary(h *help) string {
	if len(h.about) == 0 {
		return "part of SmartStack"
	}
	first, _, _ := strings.Cut(h.about[0], ". ")
	first = strings.TrimSuffix(first, ".")
	return strings.ToLower(first[:1]) + first[1:]
}

// page5 is the manual page of the configuration file, from the page of
// docs/ that `make docs` writes.
func page5(program, reference, date string) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 5 %s SmartStack \"File Formats\"\n", quoted(strings.ToUpper(program)+".JSON"), quoted(date))
	fmt.Fprintf(&b, ".SH NAME\n%s.json \\- configuration of %s\n", program, program)
	fmt.Fprintf(&b, ".SH DESCRIPTION\nThe file is JSON, with comments if you like, or YAML. \\fB%s \\-k \\-c\\fR \\fIFILE\\fR tells what is wrong with it, without starting anything.\n", program)
	rows := 0
	for line := range strings.Lines(reference) {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, "## "):
			fmt.Fprintf(&b, ".SH %s\n", quoted(strings.ToUpper(unmarked(line[3:]))))
		case strings.HasPrefix(line, "### "):
			fmt.Fprintf(&b, ".SS %s\n", quoted(unmarked(line[4:])))
		case strings.HasPrefix(line, "| Key |"), strings.HasPrefix(line, "|---"), strings.HasPrefix(line, "# "), strings.HasPrefix(line, "Generated "):
		case strings.HasPrefix(line, "| "):
			if err := keyEntry(&b, line); err != nil {
				return "", err
			}
			rows++
		case line != "":
			b.WriteString(".PP\n" + roff(unmarked(line)) + "\n")
		}
	}
	if rows == 0 {
		return "", fmt.Errorf("the reference of %s lists no option", program)
	}
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(program))
	return b.String(), nil
}

// keyEntry writes one line of the table.
func keyEntry(b *strings.Builder, line string) error {
	cells := strings.Split(strings.ReplaceAll(strings.Trim(line, "|"), `\|`, "\x00"), "|")
	if len(cells) != 4 {
		return fmt.Errorf("a line of the reference has %d columns, not 4: %s", len(cells), line)
	}
	for i := range cells {
		cells[i] = strings.TrimSpace(unmarked(strings.ReplaceAll(cells[i], "\x00", "|")))
	}
	key, kind, def, doc := cells[0], cells[1], cells[2], cells[3]
	switch def {
	case "":
	case "required":
		kind += ", required"
	default:
		kind += ", default " + def
	}
	fmt.Fprintf(b, ".TP\n\\fB%s\\fR (%s)\n%s\n", roff(key), roff(kind), roff(doc))
	return nil
}

// unmarked removes the marks of Markdown.
func unmarked(s string) string { return strings.NewReplacer("`", "", "**", "").Replace(s) }

// roff makes text safe for a line of its own in a manual page.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, "…", "...", "→", `\(->`, "–", `\(en`, "×", `\(mu`, "≥", `\(>=`, "≤", `\(<=`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// quoted is one argument of a request.
func quoted(s string) string { return `"` + strings.ReplaceAll(roff(s), `"`, `\(dq`) + `"` }
