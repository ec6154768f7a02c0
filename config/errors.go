package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Error is a mistake in the file, or something in it that is likely to be one.
type Error struct {
	File string
	// Line and Column count from 1, the column in characters.
	Line, Column int
	// Path leads to the mistake, as in datastores[0].copies[1].region. It is
	// empty when the file as a whole is meant.
	Path string
	// Message says what is wrong and what to write instead.
	Message string
	// Source is the line of the file, with what may be a password taken out.
	Source string
}

// Error gives place and message, then the line with a mark below the column.
func (e Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", e.File, e.Line, e.Column)
	if e.Path != "" {
		fmt.Fprintf(&b, "%s: ", e.Path)
	}
	b.WriteString(e.Message)
	if text, mark := excerpt(e.Source, e.Column); text != "" {
		fmt.Fprintf(&b, "\n    %s\n    %s", text, mark)
	}
	return b.String()
}

// excerptWidth is how much of a long line is shown.
const excerptWidth = 120

// excerpt gives a line, or the part of it around the column, and a line that
// has a caret at that column.
func excerpt(line string, column int) (text, mark string) {
	runes := []rune(strings.Map(printable, line))
	if strings.TrimSpace(line) == "" {
		return "", ""
	}
	at := min(max(column-1, 0), len(runes))
	start := 0
	if at > excerptWidth*2/3 {
		start = at - excerptWidth/3
	}
	shown := runes[start:min(len(runes), start+excerptWidth)]
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r // so that the caret stands where the terminal puts the text
		}
		return ' '
	}, string(shown[:min(at-start, len(shown))]))
	return strings.TrimRight(string(shown), " \t"), indent + "^"
}

// printable keeps a file from writing to the terminal of who reads the error.
func printable(r rune) rune {
	if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 {
		return ' '
	}
	return r
}

// Errors are all mistakes of a file, in the order of their places.
type Errors []Error

// shownErrors is how many mistakes are told before the rest is only counted.
const shownErrors = 100

// Error gives them all.
func (errs Errors) Error() string { return list(errs) }

// Warnings are what loads and is likely to be a mistake all the same.
type Warnings []Error

// String gives them all in the form of errors.
func (w Warnings) String() string { return list(w) }

func list(all []Error) string {
	texts := make([]string, 0, min(len(all), shownErrors)+1)
	for _, e := range all[:min(len(all), shownErrors)] {
		texts = append(texts, e.Error())
	}
	if more := len(all) - shownErrors; more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(texts, "\n")
}

// sorted orders by place. What is said twice of one place, because a shared
// block is used twice, is kept once.
func (errs Errors) sorted() Errors {
	slices.SortStableFunc(errs, func(a, b Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	type saying struct {
		line, column int
		message      string
	}
	said := make(map[saying]bool, len(errs))
	return slices.DeleteFunc(errs, func(e Error) bool {
		s := saying{e.Line, e.Column, e.Message}
		again := said[s]
		said[s] = true
		return again
	})
}

// findings gathers what is wrong with a document, step by step. A step does not
// complain about what lies at or below a place that an earlier step found wrong.
type findings struct {
	doc      *document
	errors   Errors
	warnings []Error
	step     int
	wrong    map[string]int // the step that found it, by path
}

func newFindings(d *document) *findings {
	return &findings{doc: d, wrong: make(map[string]int)}
}

// errorAt adds a mistake in the value at path.
func (f *findings) errorAt(path []string, message string) {
	if f.isWrong(path) {
		return
	}
	f.errors = append(f.errors, f.doc.at(path, message))
	f.markWrong(path)
}

// errorOn adds a mistake that stands at a certain node.
func (f *findings) errorOn(n *yaml.Node, path []string, message string) {
	f.errors = append(f.errors, f.doc.finding(n.Line, n.Column, render(path), message))
	f.markWrong(path)
}

func (f *findings) warnAt(path []string, message string) {
	f.warnings = append(f.warnings, f.doc.at(path, message))
}

func (f *findings) markWrong(path []string) {
	if _, known := f.wrong[render(path)]; !known {
		f.wrong[render(path)] = f.step
	}
}

// excuse keeps this step, too, from complaining about a path.
func (f *findings) excuse(path []string) { f.wrong[render(path)] = f.step - 1 }

// isWrong reports whether an earlier step found a mistake at the path or above it.
func (f *findings) isWrong(path []string) bool {
	for n := range path {
		if step, known := f.wrong[render(path[:n+1])]; known && step < f.step {
			return true
		}
	}
	return false
}

// at places a finding: on the value, or on the key of the mapping that lacks it.
func (d *document) at(path []string, message string) Error {
	value, key, steps := d.lookup(path)
	if written := d.expanded[value]; written != "" {
		// What a variable holds may be a secret that strayed.
		message = strings.ReplaceAll(message, strconv.Quote(value.Value), strconv.Quote(written)+" (with its variables replaced)")
	}
	place := value
	if key != nil && (steps < len(path) || value.Line == 0) {
		place = key
	}
	return d.finding(place.Line, place.Column, render(path), message)
}

func (d *document) finding(line, column int, path, message string) Error {
	source, known := d.shown[line]
	if !known && line >= 1 && line <= len(d.lines) {
		source = redactLine(d.lines[line-1])
		d.shown[line] = source
	}
	return Error{File: d.name, Line: line, Column: column, Path: path, Message: redact(message), Source: source}
}

var (
	urlPassword = regexp.MustCompile(`(://[^\s:/@]*:)[^"']*(@)`)
	dsnPassword = regexp.MustCompile(`(?i)((?:password|passwd|pwd)\s*=\s*)(?:'[^']*'?|[^\s'"&]+)`)
	anyKey      = regexp.MustCompile(`([\w-]+)["']?\s*:(?:\s+|$)`)
	secretKey   = regexp.MustCompile(`(?i)pass(word|wd|phrase)?$|pwd$|secret|token|credential|(access|private|api)_?key`)
	secretPlace = regexp.MustCompile(`(?i)_(file|env)$`)
)

// namesSecret reports whether a key looks as if its value were a secret, rather
// than where one is kept.
func namesSecret(key string) bool { return secretKey.MatchString(key) && !secretPlace.MatchString(key) }

// redact takes passwords out of a text.
func redact(text string) string {
	text = urlPassword.ReplaceAllString(text, "${1}<redacted>${2}")
	return dsnPassword.ReplaceAllString(text, "${1}<redacted>")
}

// redactLine takes out of a line of the file what must not be in it but may be.
func redactLine(line string) string {
	for _, found := range anyKey.FindAllStringSubmatchIndex(line, -1) {
		if namesSecret(line[found[2]:found[3]]) && strings.TrimSpace(line[found[1]:]) != "" {
			return line[:found[1]] + "<redacted>"
		}
	}
	return redact(line)
}
