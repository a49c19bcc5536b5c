package main

import (
	"fmt"
	"strings"
)

// bash is the completion for bash.
func bash(h *help) string {
	var b strings.Builder
	name := "_" + strings.ReplaceAll(h.program, "-", "_")
	fmt.Fprintf(&b, "# Completion of %s for bash. Generated from its --help; do not edit.\n%s() {\n", h.program, name)
	b.WriteString("\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=\"\" word\n")
	b.WriteString("\tCOMPREPLY=()\n")
	if len(h.commands) > 0 {
		fmt.Fprintf(&b, "\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase $word in\n\t\t%s) command=$word; break ;;\n\t\tesac\n\tdone\n", strings.Join(commandNames(h), " | "))
	}
	bashValues(&b, h)
	b.WriteString("\tcase $command in\n")
	for _, c := range h.commands {
		if c.help != nil {
			fmt.Fprintf(&b, "\t%s) word=%s ;;\n", c.name, shellQuote(strings.Join(optionNames(c.help.options), " ")))
		}
	}
	fmt.Fprintf(&b, "\t*) word=%s ;;\n\tesac\n", shellQuote(strings.Join(append(commandNames(h), optionNames(h.options)...), " ")))
	b.WriteString("\tmapfile -t COMPREPLY < <(compgen -W \"$word\" -- \"$cur\")\n}\n")
	fmt.Fprintf(&b, "complete -F %s %s\n", name, h.program)
	return b.String()
}

// bashValues completes what stands behind an option that takes a value.
func bashValues(b *strings.Builder, h *help) {
	b.WriteString("\tcase $prev in\n")
	seen := map[string]bool{}
	for _, o := range allOptions(h) {
		names := strings.Join(namesOf(o), " | ")
		if o.value == "" || seen[names] {
			continue
		}
		seen[names] = true
		switch {
		case o.isFile():
			fmt.Fprintf(b, "\t%s)\n\t\tcompopt -o filenames 2>/dev/null\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\t\treturn\n\t\t;;\n", names)
		case o.choices() != nil:
			fmt.Fprintf(b, "\t%s)\n\t\tmapfile -t COMPREPLY < <(compgen -W %s -- \"$cur\")\n\t\treturn\n\t\t;;\n", names, shellQuote(strings.Join(o.choices(), " ")))
		default:
			fmt.Fprintf(b, "\t%s) return ;;\n", names)
		}
	}
	b.WriteString("\tesac\n")
}

// zsh is the completion for zsh.
func zsh(h *help) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %s\n# Completion of %s for zsh. Generated from its --help; do not edit.\n\n", h.program, h.program)
	if len(h.commands) == 0 {
		b.WriteString("_arguments -s" + zshOptions(h.options, " \\\n  ") + "\n")
		return b.String()
	}
	b.WriteString("local curcontext=$curcontext state line\ntypeset -A opt_args\n")
	b.WriteString("_arguments -C" + zshOptions(h.options, " \\\n  ") + " \\\n  '1: :->command' \\\n  '*:: :->arguments' && return\n\n")
	b.WriteString("case $state in\ncommand)\n  local -a commands=(\n")
	for _, c := range h.commands {
		fmt.Fprintf(&b, "    %s\n", shellQuote(c.name+":"+c.doc))
	}
	b.WriteString("  )\n  _describe command commands\n  ;;\narguments)\n  case $words[1] in\n")
	for _, c := range h.commands {
		if c.help != nil && len(c.help.options) > 0 {
			fmt.Fprintf(&b, "  %s) _arguments -s%s ;;\n", c.name, zshOptions(c.help.options, " \\\n    "))
		}
	}
	b.WriteString("  esac\n  ;;\nesac\n")
	return b.String()
}

func zshOptions(options []option, between string) string {
	var b strings.Builder
	for _, o := range options {
		names := namesOf(o)
		doc := strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`).Replace(o.doc)
		value := ""
		switch {
		case o.value == "":
		case o.isFile():
			value = ":" + o.value + ":_files"
		case o.choices() != nil:
			value = ":" + o.value + ":(" + strings.Join(o.choices(), " ") + ")"
		default:
			value = ":" + o.value + ": "
		}
		exclusive := ""
		if len(names) > 1 {
			exclusive = "(" + strings.Join(names, " ") + ")"
		}
		for _, name := range names {
			b.WriteString(between + shellQuote(exclusive+name+"["+doc+"]"+value))
		}
	}
	return b.String()
}

func namesOf(o option) []string {
	var names []string
	for _, name := range []string{o.short, o.long} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

func optionNames(options []option) []string {
	var names []string
	for _, o := range options {
		names = append(names, namesOf(o)...)
	}
	return names
}

func commandNames(h *help) []string {
	var names []string
	for _, c := range h.commands {
		names = append(names, c.name)
	}
	return names
}

func allOptions(h *help) []option {
	all := append([]option(nil), h.options...)
	for _, c := range h.commands {
		if c.help != nil {
			all = append(all, c.help.options...)
		}
	}
	return all
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
