package aws

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// account is whose things a call is about.
func (r *RDS) account(c *call) string {
	_, _, account := r.cloud.sts.caller(c)
	return account
}

// filters reads Filters.Filter.N.Name and Filters.Filter.N.Values.Value.M.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_Filter.html
func filters(form url.Values, known ...string) (map[string][]string, error) {
	found := map[string][]string{}
	for n := 1; ; n++ {
		prefix := "Filters.Filter." + strconv.Itoa(n) + "."
		name := form.Get(prefix + "Name")
		if name == "" {
			return found, nil
		}
		if !slices.Contains(known, name) {
			return nil, badRequest("InvalidParameterValue", "Unrecognized filter name: "+name)
		}
		for m := 1; form.Has(prefix + "Values.Value." + strconv.Itoa(m)); m++ {
			found[name] = append(found[name], form.Get(prefix+"Values.Value."+strconv.Itoa(m)))
		}
		if len(found[name]) == 0 {
			return nil, badRequest("InvalidParameterValue", "The filter "+name+" has no values")
		}
	}
}

// passes reports whether a thing is among what a filter asks for: identifiers are
// compared without case, ARNs in full.
func passes(filter []string, names ...string) bool {
	return filter == nil || slices.ContainsFunc(filter, func(want string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return name != "" && strings.EqualFold(name, want) })
	})
}

// rdsPage cuts out what is asked for, MaxRecords (20 to 100) of them after the Marker.
// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html
func rdsPage[T any](form url.Values, all []T, key func(T) string) (part []T, marker string, err error) {
	most := 100
	if text := form.Get("MaxRecords"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 20 || n > 100 {
			return nil, "", badRequest("InvalidParameterValue", fmt.Sprintf("Invalid value %s for MaxRecords. Must be between 20 and 100", text))
		}
		most = n
	}
	slices.SortFunc(all, func(a, b T) int { return cmp.Compare(key(a), key(b)) })
	if text := form.Get("Marker"); text != "" {
		after, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return nil, "", badRequest("InvalidParameterValue", "Invalid pagination token")
		}
		begin, found := slices.BinarySearchFunc(all, string(after), func(t T, k string) int { return cmp.Compare(key(t), k) })
		if found {
			begin++
		}
		all = all[begin:]
	}
	if len(all) <= most {
		return all, "", nil
	}
	return all[:most], base64.StdEncoding.EncodeToString([]byte(key(all[most-1]))), nil
}

// wireInstance is a DB instance as the API tells it.
type wireInstance struct {
	DBInstanceIdentifier, DBInstanceArn, DbiResourceId string
	DBInstanceClass, Engine, EngineVersion             string
	DBInstanceStatus                                   string
	AllocatedStorage                                   int
	StorageType                                        string `xml:",omitempty"`
	Iops                                               int    `xml:",omitempty"`
	MultiAZ, DeletionProtection, StorageEncrypted      bool
	KmsKeyId                                           string `xml:",omitempty"`
	BackupRetentionPeriod                              int
	InstanceCreateTime                                 time.Time
	LatestRestorableTime                               *time.Time       `xml:",omitempty"`
	DBClusterIdentifier                                string           `xml:",omitempty"`
	ReadReplicaSourceDBInstanceIdentifier              string           `xml:",omitempty"`
	Replicas                                           []string         `xml:"ReadReplicaDBInstanceIdentifiers>ReadReplicaDBInstanceIdentifier"`
	StatusInfos                                        []wireStatusInfo `xml:"StatusInfos>DBInstanceStatusInfo"`
}

type wireStatusInfo struct {
	StatusType string
	Normal     bool
	Status     string
	Message    string `xml:",omitempty"`
}

// wire tells an instance. A promoted replica has no source and no StatusInfos.
func (i Instance) wire(now time.Time, replicas []string) wireInstance {
	w := wireInstance{
		DBInstanceIdentifier: i.ID, DBInstanceArn: i.ARN(), DbiResourceId: i.ResourceID,
		DBInstanceClass: i.Class, Engine: i.Engine, EngineVersion: i.Version, DBInstanceStatus: i.status(),
		AllocatedStorage: i.StorageGiB, StorageType: i.StorageType, Iops: i.IOPS,
		MultiAZ: i.MultiAZ, DeletionProtection: i.DeletionProtection, StorageEncrypted: i.KMSKey != "", KmsKeyId: i.KMSKey,
		BackupRetentionPeriod: i.BackupDays, InstanceCreateTime: i.Created.UTC(), LatestRestorableTime: stamp(i.latestRestorable(now)),
		DBClusterIdentifier: i.Cluster, ReadReplicaSourceDBInstanceIdentifier: i.Source, Replicas: replicas,
	}
	if i.Source != "" {
		status := cmp.Or(i.Replication, "replicating")
		w.StatusInfos = []wireStatusInfo{{StatusType: "read replication", Normal: status == "replicating", Status: status, Message: i.Message}}
	}
	return w
}

// stamp is nil for no moment.
func stamp(at time.Time) *time.Time {
	if at.IsZero() {
		return nil
	}
	at = at.UTC()
	return &at
}

// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_DescribeDBInstances.html
func (r *RDS) describeInstances(c *call, form url.Values) (any, error) {
	type result struct {
		Marker      string         `xml:",omitempty"`
		DBInstances []wireInstance `xml:"DBInstances>DBInstance"`
	}
	filter, err := filters(form, "db-cluster-id", "db-instance-id", "dbi-resource-id", "domain", "engine")
	if err != nil {
		return nil, err
	}
	id := form.Get("DBInstanceIdentifier")
	all, replicas := r.seen(c)
	all = slices.DeleteFunc(all, func(i Instance) bool {
		return id != "" && !passes([]string{id}, i.ID, i.ARN()) ||
			!passes(filter["db-instance-id"], i.ID, i.ARN()) || !passes(filter["db-cluster-id"], i.Cluster) ||
			!passes(filter["dbi-resource-id"], i.ResourceID) || !passes(filter["engine"], i.Engine) || filter["domain"] != nil
	})
	if id != "" && len(all) == 0 {
		return nil, rdsMissing("DBInstanceNotFound", "DBInstance "+id+" not found.")
	}
	part, marker, err := rdsPage(form, all, func(i Instance) string { return i.ID })
	if err != nil {
		return nil, err
	}
	answer := result{Marker: marker}
	now := r.cloud.options.Now()
	for _, i := range part {
		if i.Observe != nil {
			i.Observe(c.Request.Context(), &i)
		}
		answer.DBInstances = append(answer.DBInstances, i.wire(now, replicas[i.where()]))
	}
	return answer, nil
}

// seen lists the instances of a region as the API sees them, and the read replicas
// of each: by identifier in the same region, by ARN in another.
func (r *RDS) seen(c *call) ([]Instance, map[where][]string) {
	account := r.account(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Instance
	replicas := map[where][]string{}
	now := r.cloud.options.Now()
	for w, i := range r.instances {
		i.settle(now)
		seen, exists := i.asOf(now.Add(-r.stale))
		if !exists || w.account != account {
			continue
		}
		if w.region == c.Region {
			all = append(all, seen)
		}
		if source, ok := seen.source(); ok {
			name := seen.ID
			if source.region != seen.Region {
				name = seen.ARN()
			}
			replicas[source] = append(replicas[source], name)
		}
	}
	for _, names := range replicas {
		slices.Sort(names)
	}
	return all, replicas
}

// source is where the source of a read replica is.
func (i Instance) source() (where, bool) {
	if i.Source == "" {
		return where{}, false
	}
	if parts := strings.SplitN(i.Source, ":", 7); len(parts) == 7 {
		return where{parts[4], parts[3], parts[6]}, true
	}
	return where{i.Account, i.Region, i.Source}, true
}
