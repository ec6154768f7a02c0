package config

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// variable is a dollar sign and what it begins. The standard library's
// os.Expand would do, did it not silently eat what it does not understand.
var variable = regexp.MustCompile(`\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(:-([^{}]*))?\})?`)

// expand replaces, in every value and in no key, ${NAME} by the environment
// variable, ${NAME:-default} by the default where the variable is unset or
// empty, and $$ by a dollar sign. It works on the finished tree, so that what a
// variable holds can never change the shape of the file.
func (d *document) expand(f *findings, env func(string) (string, bool)) {
	expandNode(d.root, nil, f, env)
}

func expandNode(n *yaml.Node, path []string, f *findings, env func(string) (string, bool)) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			expandNode(n.Content[i+1], child(path, n.Content[i].Value), f, env)
		}
	case yaml.SequenceNode:
		for i, item := range n.Content {
			expandNode(item, child(path, index(i)), f, env)
		}
	case yaml.ScalarNode:
		text, problem := expandText(n.Value, env)
		if problem != "" {
			f.errorAt(path, problem)
			return
		}
		if text != n.Value {
			n.Value, f.doc.expanded[n] = text, n.Value
		}
	}
}

// expandText gives the text with its variables replaced, or what is wrong with it.
func expandText(text string, env func(string) (string, bool)) (expanded, problem string) {
	expanded = variable.ReplaceAllStringFunc(text, func(found string) string {
		if found == "$$" {
			return "$"
		}
		parts := variable.FindStringSubmatch(found)
		name, hasDefault, byDefault := parts[1], parts[2] != "", parts[3]
		value, isSet := env(name)
		switch {
		case name == "":
			problem = "a $ stands alone: write ${NAME} or ${NAME:-default} for an environment variable, $$ for a dollar sign"
		case hasDefault && value == "":
			return strings.ReplaceAll(byDefault, "$$", "$")
		case !isSet:
			problem = fmt.Sprintf("the environment variable %s is not set: set it, or write ${%s:-default}", name, name)
		}
		return value
	})
	return expanded, problem
}
