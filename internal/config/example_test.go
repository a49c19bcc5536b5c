package config_test

import (
	"fmt"

	"smartstack/internal/config"
)

func Example() {
	type Service struct {
		Host     string         `cfg:"host,required" doc:"Address to register."`
		Port     int            `cfg:"port,required" doc:"Port to register."`
		Interval config.Seconds `cfg:"check_interval" default:"0.5" doc:"Seconds between rounds of checks."`
	}
	type Options struct {
		InstanceID string              `cfg:"instance_id,required" doc:"Name of this host."`
		Services   config.Map[Service] `cfg:"services" doc:"What to register."`
	}
	file := `{ // nerve
	"instance_id": "i-1",
	"services": {
		"web": {"host": "10.0.0.1", "port": "8080"},
		"db":  {"host": "10.0.0.1", "prot": "30x0", "check_interval": "2s"}
	}
}`
	root, err := config.Parse("n.json", []byte(file), config.ReadOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	var options Options
	var report config.Report
	root.Decode(&options, &report)
	fmt.Println(report.Err())
	fmt.Println(report.Warnings()[0])
	for _, s := range options.Services {
		fmt.Println(s.Key, s.Value.Port, s.Value.Interval.Duration(), s.Node.Pos())
	}
	// Output:
	// n.json:5:10: services.db: "port" is required: Port to register.
	// n.json:5:31: services.db.prot: unknown option, did you mean "port"?
	// web 8080 500ms n.json:4:10
	// db 0 2s n.json:5:10
}
