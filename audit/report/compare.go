package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// differing are the places where a report and the ledger say something else.
type differing struct {
	count int
	told  []string
}

// compare goes down both, and names each value that is another.
func (d *differing) compare(path string, says, is any) {
	switch says := says.(type) {
	case map[string]any:
		if is, same := is.(map[string]any); same {
			d.objects(path, says, is)
			return
		}
	case []any:
		if is, same := is.([]any); same {
			d.lists(path, says, is)
			return
		}
	}
	if !reflect.DeepEqual(says, is) {
		d.tell("%s: the report says %s, the ledger %s", path, value(says), value(is))
	}
}

func (d *differing) objects(path string, says, is map[string]any) {
	names := maps.Clone(says)
	maps.Copy(names, is)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		d.compare(strings.TrimPrefix(path+"."+name, "."), says[name], is[name])
	}
}

func (d *differing) lists(path string, says, is []any) {
	if len(says) != len(is) {
		d.tell("%s: the report has %d, the ledger %d", path, len(says), len(is))
	}
	for i := range min(len(says), len(is)) {
		d.compare(path+"["+strconv.Itoa(i)+"]", says[i], is[i])
	}
}

func (d *differing) tell(format string, arguments ...any) {
	d.count++
	if len(d.told) < mostTold {
		d.told = append(d.told, fmt.Sprintf(format, arguments...))
	}
}

// String lists the first of them.
func (d *differing) String() string {
	text := "the data were changed: " + strings.Join(d.told, "; ")
	if more := d.count - len(d.told); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return text
}

// value is one as people read it.
func value(v any) string {
	if v == nil {
		return "nothing"
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "what cannot be shown"
	}
	return cut(string(text), 100)
}
