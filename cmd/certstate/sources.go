package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/spf13/pflag"
)

const configFlag = "config"

// Annotations by which the config command says where a value came from.
const sourceKey = "source"

// envName is the environment variable of a flag.
func envName(flag string) string {
	return "CERTSTATE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// applySources gives the flags that were not on the command line their values
// from the environment, and then from the configuration file. All faults are
// reported together.
func (a *app) applySources(flags *pflag.FlagSet) error {
	var faults []error
	fail := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	flags.VisitAll(func(f *pflag.Flag) {
		value, ok := a.env[envName(f.Name)]
		if f.Changed || !ok || f.Name == "help" {
			return
		}
		if err := setFlag(flags, f, splitList(f, value), "environment"); err != nil {
			fail("%s=%q: %w", envName(f.Name), value, err)
		}
	})
	if path, err := flags.GetString(configFlag); err == nil && path != "" {
		faults = append(faults, applyFile(flags, path)...)
	}
	if len(faults) > 0 {
		return usageError{errors.Join(faults...)}
	}
	return nil
}

// splitList cuts an environment variable for a repeatable flag at semicolons;
// issuers have spaces and commas in them.
func splitList(f *pflag.Flag, value string) []string {
	if _, ok := f.Value.(pflag.SliceValue); !ok {
		return []string{value}
	}
	return slices.DeleteFunc(strings.Split(value, ";"), func(s string) bool { return strings.TrimSpace(s) == "" })
}

func setFlag(flags *pflag.FlagSet, f *pflag.Flag, values []string, source string) error {
	for _, v := range values {
		if err := flags.Set(f.Name, strings.TrimSpace(v)); err != nil {
			return err
		}
	}
	f.Annotations = map[string][]string{sourceKey: {source}}
	return nil
}

// known are all flags that any subcommand has: one file may serve several.
func applyFile(flags *pflag.FlagSet, path string) (faults []error) {
	var values map[string]any
	if _, err := toml.DecodeFile(path, &values); err != nil {
		return []error{fmt.Errorf("configuration %s: %w", path, err)}
	}
	for name, value := range values {
		f := flags.Lookup(name)
		switch {
		case f == nil && slices.Contains(settingNames(), name):
			continue // of another subcommand
		case f == nil || name == configFlag || name == "help":
			faults = append(faults, fmt.Errorf("configuration %s: there is no setting %q: they are %s", path, name, strings.Join(settingNames(), ", ")))
			continue
		case f.Changed:
			continue
		}
		texts := []string{fmt.Sprint(value)}
		if list, ok := value.([]any); ok {
			texts = nil
			for _, item := range list {
				texts = append(texts, fmt.Sprint(item))
			}
		}
		if err := setFlag(flags, f, texts, "file "+path); err != nil {
			faults = append(faults, fmt.Errorf("configuration %s: %s: %w", path, name, err))
		}
	}
	return faults
}

// source is where a flag's value came from.
func source(f *pflag.Flag) string {
	switch from := f.Annotations[sourceKey]; {
	case from != nil:
		return from[0]
	case f.Changed:
		return "flag"
	}
	return "default"
}
