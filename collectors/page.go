package collectors

import (
	"cmp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// page is metric families in the making. Label pairs, and the values 0 and 1,
// are shared among series, and series are cut from slabs: at half a million
// series the page would otherwise be made of millions of small objects.
type page struct {
	byName    map[string]*dto.MetricFamily
	pairs     map[[2]string]*dto.LabelPair
	zero, one *float64

	metrics  []dto.Metric
	gauges   []dto.Gauge
	counters []dto.Counter
	values   []float64
	labels   []*dto.LabelPair
}

const slab = 1024

func newPage() *page {
	zero, one := 0.0, 1.0
	return &page{
		byName: make(map[string]*dto.MetricFamily),
		pairs:  make(map[[2]string]*dto.LabelPair),
		zero:   &zero, one: &one,
	}
}

// pair gives the one label pair with that name and value.
func (p *page) pair(name, value string) *dto.LabelPair {
	key := [2]string{name, value}
	if pair := p.pairs[key]; pair != nil {
		return pair
	}
	kept := key // only a new one moves to the heap
	pair := &dto.LabelPair{Name: &kept[0], Value: &kept[1]}
	p.pairs[key] = pair
	return pair
}

// value adds a series. The labels come in alphabetical order of their names.
func (p *page) value(m Metric, v float64, labels ...*dto.LabelPair) {
	metric := cut(&p.metrics)
	metric.Label = p.keep(labels)
	if m.Type == prometheus.CounterValue {
		metric.Counter = cut(&p.counters)
		metric.Counter.Value = p.number(v)
	} else {
		metric.Gauge = cut(&p.gauges)
		metric.Gauge.Value = p.number(v)
	}
	family := p.family(m)
	family.Metric = append(family.Metric, metric)
}

func (p *page) family(m Metric) *dto.MetricFamily {
	family := p.byName[m.Name]
	if family == nil {
		kind := dto.MetricType_GAUGE
		if m.Type == prometheus.CounterValue {
			kind = dto.MetricType_COUNTER
		}
		family = &dto.MetricFamily{Name: &m.Name, Help: &m.Help, Type: &kind}
		p.byName[m.Name] = family
	}
	return family
}

func (p *page) number(v float64) *float64 {
	switch v {
	case 0:
		return p.zero
	case 1:
		return p.one
	}
	n := cut(&p.values)
	*n = v
	return n
}

// keep copies the labels of one series into the slab.
func (p *page) keep(labels []*dto.LabelPair) []*dto.LabelPair {
	if cap(p.labels)-len(p.labels) < len(labels) {
		p.labels = make([]*dto.LabelPair, 0, 4*slab)
	}
	start := len(p.labels)
	p.labels = append(p.labels, labels...)
	return p.labels[start:len(p.labels):len(p.labels)]
}

// cut takes the next element of a slab, and a new slab when it is used up.
func cut[T any](from *[]T) *T {
	if len(*from) == 0 {
		*from = make([]T, slab)
	}
	next := &(*from)[0]
	*from = (*from)[1:]
	return next
}

// families gives the finished page, ordered by name.
func (p *page) families() []*dto.MetricFamily {
	all := make([]*dto.MetricFamily, 0, len(p.byName))
	for _, family := range p.byName {
		all = append(all, family)
	}
	slices.SortFunc(all, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}
