package config

// ReadOptions say what a file may ask of its surroundings. The zero value reads
// plain files.
type ReadOptions struct {
	// ERB expands the tags of Ruby's templates first, as synapse does; nerve's
	// files have none.
	ERB bool
	// Getenv is os.LookupEnv, or a test's; nil means no variable is set.
	Getenv func(string) (string, bool)
	// Hostname is os.Hostname, or a test's; nil makes asking for it a fault.
	Hostname func() (string, error)
}

// Read reads and parses the file at path. Its errors are Faults, all that can
// be found, joined.
func Read(path string, o ReadOptions) (*Node, error) { panic("config: not written yet") }

// Parse turns the text of a file into a tree; name stands in the faults.
func Parse(name string, data []byte, o ReadOptions) (*Node, error) { panic("config: not written yet") }
