// Asks each operation that drwatch calls by the AWS SDK for JavaScript, and
// prints as JSON what the SDK makes of the answers:
//
//	node check.mjs FOLDER URL QUESTIONS
//
// FOLDER is what prepare.sh makes. QUESTIONS are JSON; js_test.go asks them.
import { createRequire } from "node:module";
import { join } from "node:path";

const [folder, endpoint, questions] = process.argv.slice(2);
const load = createRequire(join(folder, "package.json"));
const ask = JSON.parse(questions);

const rds = load("@aws-sdk/client-rds");
const cloudwatch = load("@aws-sdk/client-cloudwatch");
const s3 = load("@aws-sdk/client-s3");
const backup = load("@aws-sdk/client-backup");
const sts = load("@aws-sdk/client-sts");

const lab = { accessKeyId: "AKIALAB", secretAccessKey: "lab" };
const client = (Client, region = ask.region, credentials = lab) =>
  new Client({ endpoint, region, credentials, maxAttempts: 1, forcePathStyle: true });

async function pages(paginate) {
  const all = [];
  for await (const page of paginate) all.push(page);
  return all;
}

// without takes away what the SDK adds to an answer by itself, and names that
// mean nothing.
const without = ({ $metadata, VersionId, ...answer }) => answer;

async function ofRDS() {
  const c = client(rds.RDSClient);
  const send = async (Command, input = {}) => without(await c.send(new Command(input)));
  const instances = await pages(rds.paginateDescribeDBInstances({ client: c, pageSize: 20 }, {}));
  return {
    DescribeDBInstances: instances.map((page) => page.DBInstances.map((i) => i.DBInstanceIdentifier)),
    Replica: (await send(rds.DescribeDBInstancesCommand, { DBInstanceIdentifier: ask.replica })).DBInstances,
    DescribeDBSnapshots: await send(rds.DescribeDBSnapshotsCommand),
    DescribeDBInstanceAutomatedBackups: await send(rds.DescribeDBInstanceAutomatedBackupsCommand),
    DescribeDBClusters: (await send(rds.DescribeDBClustersCommand)).DBClusters.map(({ DbClusterResourceId, ...cluster }) => cluster),
    DescribeDBClusterSnapshots: await send(rds.DescribeDBClusterSnapshotsCommand),
    DescribeGlobalClusters: await send(rds.DescribeGlobalClustersCommand),
  };
}

async function ofCloudWatch() {
  const c = client(cloudwatch.CloudWatchClient);
  const answers = await pages(cloudwatch.paginateGetMetricData({ client: c }, { ...lag(), MaxDatapoints: 4 }));
  return { GetMetricData: answers.map(without) };
}

function lag() {
  const queries = ask.metrics.map(([MetricName, Name, Value], n) => {
    const Metric = { Namespace: "AWS/RDS", MetricName, Dimensions: [{ Name, Value }] };
    return { Id: `m${n}`, MetricStat: { Metric, Period: 60, Stat: "Average" } };
  });
  return { MetricDataQueries: queries, StartTime: new Date(ask.from), EndTime: new Date(ask.until) };
}

async function ofS3() {
  const c = client(s3.S3Client);
  const Bucket = ask.bucket;
  const object = { Bucket, Key: ask.key };
  const send = async (Command, input = { Bucket }) => without(await c.send(new Command(input)));
  const listed = await pages(s3.paginateListObjectsV2({ client: c, pageSize: 2 }, { Bucket, Prefix: ask.prefix, StartAfter: ask.after }));
  const { Body, ...part } = await send(s3.GetObjectCommand, { ...object, Range: ask.range });
  return {
    ListObjectsV2: listed.map((page) => page.Contents.map((o) => [o.Key, o.Size, o.LastModified])),
    HeadObject: await send(s3.HeadObjectCommand, object),
    GetObject: { ...part, Body: await Body.transformToString() },
    GetObjectRetention: await send(s3.GetObjectRetentionCommand, object),
    GetBucketVersioning: await send(s3.GetBucketVersioningCommand),
    GetObjectLockConfiguration: await send(s3.GetObjectLockConfigurationCommand),
    ListMultipartUploads: (await send(s3.ListMultipartUploadsCommand)).Uploads.map((u) => [u.Key, u.Initiated]),
    GetBucketReplication: (await send(s3.GetBucketReplicationCommand)).ReplicationConfiguration.Rules.map((r) => [r.Status, r.Filter, r.Destination.Bucket]),
  };
}

async function ofBackup() {
  const c = client(backup.BackupClient);
  const BackupVaultName = ask.vault;
  const points = await pages(backup.paginateListRecoveryPointsByBackupVault({ client: c, pageSize: 2 }, { BackupVaultName }));
  return {
    ListRecoveryPointsByBackupVault: points.map((page) => page.RecoveryPoints),
    DescribeBackupVault: without(await c.send(new backup.DescribeBackupVaultCommand({ BackupVaultName }))),
  };
}

async function ofSTS() {
  const assume = new sts.AssumeRoleCommand({ RoleArn: ask.role, RoleSessionName: "check", ExternalId: ask.externalID });
  const { Credentials, AssumedRoleUser } = await client(sts.STSClient).send(assume);
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = Credentials;
  const role = { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
  const me = await client(sts.STSClient, ask.region, role).send(new sts.GetCallerIdentityCommand({}));
  return { AssumeRole: { Arn: AssumedRoleUser.Arn, Expiration }, GetCallerIdentity: without(me) };
}

// refusal tells an error as people who use the SDK tell them apart: by its name,
// and by its class where the SDK has one of that name.
async function refusal(sdk, promise) {
  try {
    await promise;
    return "none";
  } catch (e) {
    const ofClass = sdk[e.name] !== undefined && e instanceof sdk[e.name];
    return `${e.name}${ofClass ? " (class)" : ""} ${e.$metadata?.httpStatusCode}`;
  }
}

// questionsTo asks each service one thing, in a region.
const questionsTo = (region) => ({
  rds: () => refusal(rds, client(rds.RDSClient, region).send(new rds.DescribeDBInstancesCommand({}))),
  monitoring: () => refusal(cloudwatch, client(cloudwatch.CloudWatchClient, region).send(new cloudwatch.GetMetricDataCommand(lag()))),
  s3: () => refusal(s3, client(s3.S3Client, region).send(new s3.ListObjectsV2Command({ Bucket: ask.bucket }))),
  backup: () => refusal(backup, client(backup.BackupClient, region).send(new backup.DescribeBackupVaultCommand({ BackupVaultName: ask.vault }))),
  sts: () => refusal(sts, client(sts.STSClient, region).send(new sts.GetCallerIdentityCommand({}))),
});

async function refusals() {
  const told = {
    missing: {
      instance: await refusal(rds, client(rds.RDSClient).send(new rds.DescribeDBInstancesCommand({ DBInstanceIdentifier: "gone" }))),
      cluster: await refusal(rds, client(rds.RDSClient).send(new rds.DescribeDBClustersCommand({ DBClusterIdentifier: "gone" }))),
      bucket: await refusal(s3, client(s3.S3Client).send(new s3.ListObjectsV2Command({ Bucket: "gone" }))),
      key: await refusal(s3, client(s3.S3Client).send(new s3.GetObjectCommand({ Bucket: ask.bucket, Key: "gone" }))),
      head: await refusal(s3, client(s3.S3Client).send(new s3.HeadObjectCommand({ Bucket: ask.bucket, Key: "gone" }))),
      vault: await refusal(backup, client(backup.BackupClient).send(new backup.ListRecoveryPointsByBackupVaultCommand({ BackupVaultName: "gone" }))),
      role: await refusal(sts, client(sts.STSClient).send(new sts.AssumeRoleCommand({ RoleArn: ask.role, RoleSessionName: "check" }))),
    },
  };
  for (const [fault, region] of Object.entries(ask.faults)) {
    told[fault] = {};
    for (const [service, question] of Object.entries(questionsTo(region))) told[fault][service] = await question();
  }
  return told;
}

console.log(JSON.stringify({
  ...(await ofRDS()), ...(await ofCloudWatch()), ...(await ofS3()), ...(await ofBackup()), ...(await ofSTS()),
  Refusals: await refusals(),
}, null, 1));
