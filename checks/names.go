package checks

import "smartstack/internal/config"

// inOurWords returns our name of a type that others call differently.
func inOurWords(name string, n *config.Node) string {
	switch name {
	case "amqp": // blablacar's
		return "rabbitmq"
	case "postgresql": // of a proposal to the original that was never merged
		return "postgres"
	case "sql": // blablacar's
		if driver := n.Get("driver").Text(); driver == "postgres" {
			return driver
		}
		return "mysql"
	}
	return name
}
