package config

// Field is one option as the reference shows it.
type Field struct {
	Path     string // as in `checks[].uri`
	Aliases  []string
	Type     string
	Default  string
	Doc      string
	Required bool
}

// Describe lists the options of a struct in the order of its fields.
func Describe(options any) []Field { panic("config: not written yet") }
