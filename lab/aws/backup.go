package aws

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// VaultID names a vault; the empty account is [Account].
type VaultID struct{ Account, Region, Name string }

// Vault is a backup vault.
// https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeBackupVault.html
type Vault struct {
	VaultID
	KeyARN  string
	Created time.Time
	// Locked is Vault Lock. From LockDate on nobody can remove it; while LockDate
	// is zero (governance mode), or still to come, some may.
	// https://docs.aws.amazon.com/aws-backup/latest/devguide/vault-lock.html
	Locked                     bool
	LockDate                   time.Time
	MinRetention, MaxRetention int // days; zero is none
	AirGapped                  bool
	hidden                     time.Duration
	points                     map[string]*stored // by ARN
}

// RecoveryPoint is one backup of one resource.
// https://docs.aws.amazon.com/aws-backup/latest/devguide/API_RecoveryPointByBackupVault.html
type RecoveryPoint struct {
	ARN, Resource, ResourceType string
	// Created is when the backup began. A copy has that of its source.
	// https://docs.aws.amazon.com/aws-backup/latest/devguide/recov-point-create-a-copy.html
	Created time.Time
	// Initiated is when its job did; zero is not told.
	Initiated time.Time
	// Completed is when it was, or will be, whole: until then it is CREATING.
	Completed time.Time
	// Status is told instead of COMPLETED, and of CREATING.
	Status, Message string
	Size            int64
	KeyARN          string // empty is not encrypted
	// DeleteAfter is the retention in days; zero is for ever.
	DeleteAfter int
	// SourceVault is the ARN of the vault that it was copied from.
	SourceVault string
}

type stored struct {
	RecoveryPoint
	put time.Time
}

// Backup is AWS Backup.
type Backup struct {
	now func() time.Time
	sts *STS

	mu     sync.Mutex
	vaults map[VaultID]*Vault
}

func newBackup(now func() time.Time, sts *STS) *Backup {
	return &Backup{now: now, sts: sts, vaults: make(map[VaultID]*Vault)}
}

// Backup gives the AWS Backup of this AWS.
func (c *Cloud) Backup() *Backup { return c.services["backup"].(*Backup) }

func (id VaultID) full() VaultID {
	id.Account = cmp.Or(id.Account, Account)
	return id
}

// ARN is what the vault is known by everywhere.
func (id VaultID) ARN() string {
	id = id.full()
	return "arn:aws:backup:" + id.Region + ":" + id.Account + ":backup-vault:" + id.Name
}

// PutVault makes a vault, or changes it: what it holds stays.
func (b *Backup) PutVault(v Vault) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v.VaultID = v.full()
	v.points = make(map[string]*stored)
	if before := b.vaults[v.VaultID]; before != nil {
		v.points = before.points
	}
	b.vaults[v.VaultID] = &v
}

// DeleteVault takes a vault away, whatever it holds.
func (b *Backup) DeleteVault(id VaultID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.vaults, id.full())
}

// Put makes recovery points in a vault that is there, or makes them anew.
func (b *Backup) Put(id VaultID, points ...RecoveryPoint) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range points {
		b.vaults[id.full()].points[p.ARN] = &stored{RecoveryPoint: p, put: b.now()}
	}
}

// Delete takes a recovery point out of a vault.
func (b *Backup) Delete(id VaultID, arn string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.vaults[id.full()].points, arn)
}

// Hide keeps what is put into a vault out of its lists for a while: they are
// not consistent at once.
func (b *Backup) Hide(id VaultID, lasts time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.vaults[id.full()].hidden = lasts
}

// operation reads the path: GET /backup-vaults/{name}, with /recovery-points/
// and one of those, and GET /resources/{arn}/recovery-points/.
func (b *Backup) operation(r *http.Request, _ []byte) string {
	parts := segments(r)
	switch {
	case r.Method != http.MethodGet:
		return ""
	case len(parts) == 2 && parts[0] == "backup-vaults":
		return "DescribeBackupVault"
	case len(parts) == 3 && parts[0] == "backup-vaults" && parts[2] == "recovery-points":
		return "ListRecoveryPointsByBackupVault"
	case len(parts) == 4 && parts[0] == "backup-vaults" && parts[2] == "recovery-points":
		return "DescribeRecoveryPoint"
	case len(parts) == 3 && parts[0] == "resources" && parts[2] == "recovery-points":
		return "ListRecoveryPointsByResource"
	}
	return ""
}

// segments are the parts of a path, in which an ARN is one.
func segments(r *http.Request) []string {
	parts := strings.Split(strings.Trim(r.URL.EscapedPath(), "/"), "/")
	for i, part := range parts {
		if plain, err := url.PathUnescape(part); err == nil {
			parts[i] = plain
		}
	}
	return parts
}

func (b *Backup) serve(w http.ResponseWriter, c *call) {
	parts := segments(c.Request)
	_, _, account := b.sts.caller(c)
	id := VaultID{Account: account, Region: c.Region, Name: parts[min(1, len(parts)-1)]}
	b.mu.Lock()
	defer b.mu.Unlock()
	var (
		answer any
		err    error
	)
	switch c.Operation {
	case "DescribeBackupVault":
		answer, err = b.describeVault(id)
	case "ListRecoveryPointsByBackupVault":
		answer, err = b.listByVault(id, c.Request.URL.Query())
	case "DescribeRecoveryPoint":
		answer, err = b.describePoint(id, parts[3])
	case "ListRecoveryPointsByResource":
		answer, err = b.listByResource(id, parts[1], c.Request.URL.Query())
	default:
		err = Error{http.StatusNotFound, "UnknownOperationException", "There is no such operation"}
	}
	if err != nil {
		b.refuse(w, c, asError(err))
		return
	}
	writeJSON(w, http.StatusOK, "application/json", answer)
}

func (b *Backup) refuse(w http.ResponseWriter, _ *call, e Error) {
	refuseJSON(w, "application/json", e)
}

// describeVault refuses, for a vault that is not there, as if it were not
// allowed to be seen. https://github.com/aws/aws-sdk-js/issues/2625
func (b *Backup) describeVault(id VaultID) (any, error) {
	v := b.vaults[id]
	if v == nil {
		return nil, Error{http.StatusForbidden, "AccessDeniedException", "Insufficient privileges to perform this action."}
	}
	answer := map[string]any{
		"BackupVaultName": v.Name, "BackupVaultArn": v.ARN(), "CreationDate": unix(v.Created),
		"NumberOfRecoveryPoints": len(v.points), "Locked": v.Locked, "EncryptionKeyArn": text(v.KeyARN),
		"MinRetentionDays": number(v.MinRetention), "MaxRetentionDays": number(v.MaxRetention), "LockDate": unix(v.LockDate),
		"VaultType": v.kind(),
	}
	return answer, nil
}

func (v *Vault) kind() string {
	if v.AirGapped {
		return "LOGICALLY_AIR_GAPPED_BACKUP_VAULT"
	}
	return "BACKUP_VAULT"
}

var missingVault = Error{http.StatusNotFound, "ResourceNotFoundException", "Backup vault does not exist"}

// listByVault filters, and pages by MaxResults of up to 1,000.
// https://docs.aws.amazon.com/aws-backup/latest/devguide/API_ListRecoveryPointsByBackupVault.html
func (b *Backup) listByVault(id VaultID, q url.Values) (any, error) {
	v := b.vaults[id]
	if v == nil {
		return nil, missingVault
	}
	after, err := moment(q, "createdAfter")
	if err != nil {
		return nil, err
	}
	before, err := moment(q, "createdBefore")
	if err != nil {
		return nil, err
	}
	var found []*stored
	for _, p := range v.points {
		if b.listed(v, p) && (after.IsZero() || p.Created.After(after)) && (before.IsZero() || p.Created.Before(before)) &&
			asked(q, "resourceArn", p.Resource) && asked(q, "resourceType", p.ResourceType) {
			found = append(found, p)
		}
	}
	return page(found, q, func(p *stored) any { return b.told(v, p) })
}

func (b *Backup) listByResource(of VaultID, resource string, q url.Values) (any, error) {
	var found []*stored
	in := make(map[*stored]*Vault)
	for id, v := range b.vaults {
		if id.Account != of.Account || id.Region != of.Region {
			continue
		}
		for _, p := range v.points {
			if p.Resource == resource && b.listed(v, p) {
				found, in[p] = append(found, p), v
			}
		}
	}
	return page(found, q, func(p *stored) any {
		return map[string]any{
			"RecoveryPointArn": p.ARN, "CreationDate": unix(p.Created), "Status": b.status(p), "StatusMessage": text(p.Message),
			"EncryptionKeyArn": text(p.KeyARN), "BackupSizeBytes": p.Size, "BackupVaultName": in[p].Name,
		}
	})
}

func (b *Backup) describePoint(id VaultID, arn string) (any, error) {
	v := b.vaults[id]
	if v == nil {
		return nil, missingVault
	}
	p := v.points[arn]
	if p == nil {
		return nil, Error{http.StatusNotFound, "ResourceNotFoundException", "Recovery point does not exist"}
	}
	answer := b.told(v, p)
	answer["StorageClass"] = "WARM"
	return answer, nil
}

func (b *Backup) listed(v *Vault, p *stored) bool { return b.now().Sub(p.put) >= v.hidden }

// status of a backup is CREATING until it is whole.
// https://docs.aws.amazon.com/aws-backup/latest/devguide/API_DescribeRecoveryPoint.html
func (b *Backup) status(p *stored) string {
	if p.Status == "" && (p.Completed.IsZero() || b.now().Before(p.Completed)) {
		return "CREATING"
	}
	return cmp.Or(p.Status, "COMPLETED")
}

func (b *Backup) told(v *Vault, p *stored) map[string]any {
	told := map[string]any{
		"RecoveryPointArn": p.ARN, "BackupVaultName": v.Name, "BackupVaultArn": v.ARN(), "SourceBackupVaultArn": text(p.SourceVault),
		"ResourceArn": p.Resource, "ResourceType": p.ResourceType, "Status": b.status(p), "StatusMessage": text(p.Message),
		"CreationDate": unix(p.Created), "InitiationDate": unix(p.Initiated), "CompletionDate": nil, "BackupSizeInBytes": p.Size,
		"EncryptionKeyArn": text(p.KeyARN), "IsEncrypted": p.KeyARN != "", "IsParent": false, "VaultType": v.kind(),
	}
	if !p.Completed.IsZero() && !b.now().Before(p.Completed) {
		told["CompletionDate"] = unix(p.Completed)
	}
	if p.DeleteAfter > 0 {
		told["Lifecycle"] = map[string]any{"DeleteAfterDays": p.DeleteAfter}
		told["CalculatedLifecycle"] = map[string]any{"DeleteAt": unix(p.Created.AddDate(0, 0, p.DeleteAfter))}
	}
	return told
}

// page gives the part of a list that the query asks for, newest first. The token
// says after which of them the next page begins, so that a list which grows in
// between leaves nothing out.
func page(found []*stored, q url.Values, tell func(*stored) any) (any, error) {
	most, err := strconv.Atoi(cmp.Or(q.Get("maxResults"), "1000"))
	if err != nil || most < 1 || most > 1000 {
		return nil, Error{http.StatusBadRequest, "InvalidParameterValueException", "Value at 'maxResults' failed to satisfy constraint"}
	}
	slices.SortFunc(found, func(a, b *stored) int { return -cmp.Compare(a.place(), b.place()) })
	if token := q.Get("nextToken"); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, Error{http.StatusBadRequest, "InvalidParameterValueException", "Provided NextToken is invalid"}
		}
		found = slices.DeleteFunc(found, func(p *stored) bool { return p.place() >= string(last) })
	}
	answer := map[string]any{"NextToken": nil}
	if len(found) > most {
		found = found[:most]
		answer["NextToken"] = base64.RawURLEncoding.EncodeToString([]byte(found[most-1].place()))
	}
	points := make([]any, len(found))
	for i, p := range found {
		points[i] = tell(p)
	}
	answer["RecoveryPoints"] = points
	return answer, nil
}

func (p *stored) place() string { return p.Created.UTC().Format("20060102T150405.000000000") + p.ARN }

func asked(q url.Values, key, value string) bool { return !q.Has(key) || q.Get(key) == value }

func moment(q url.Values, key string) (time.Time, error) {
	if !q.Has(key) {
		return time.Time{}, nil
	}
	at, err := time.Parse(time.RFC3339Nano, q.Get(key))
	if err != nil {
		return time.Time{}, Error{http.StatusBadRequest, "InvalidParameterValueException", "Value at '" + key + "' is not a timestamp"}
	}
	return at, nil
}

// unix is a timestamp of the JSON protocols: seconds, accurate to milliseconds.
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html
func unix(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return json.Number(strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func number(n int) any {
	if n == 0 {
		return nil
	}
	return n
}

func writeJSON(w http.ResponseWriter, status int, kind string, body any) {
	encoded, err := json.Marshal(body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	_, _ = w.Write(encoded)
}

// refuseJSON answers an error as services do that speak JSON: the codes which
// all services share have another ending there.
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
func refuseJSON(w http.ResponseWriter, kind string, e Error) {
	switch e.Code {
	case "AccessDenied", "ExpiredToken", "Throttling":
		e.Code += "Exception"
	case "InvalidClientTokenId":
		e.Code = "UnrecognizedClientException"
	}
	w.Header().Set("X-Amzn-ErrorType", e.Code)
	writeJSON(w, e.Status, kind, map[string]string{"__type": e.Code, "message": e.Message})
}
