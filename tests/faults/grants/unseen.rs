//! The grants that no call on the emulator uses, each with the reason. On AWS, the checks after a deploy show them.

use serde_json::Value;
use tests::{
    Template,
    grants::{Grant, Holder},
};

/// Grants of a holder of the template, by the end of its name, that are not used on the emulator.
struct Unseen {
    holder: &'static str,
    actions: &'static [&'static str],
    reason: &'static str,
}

const POLLER: &[&str] = &["sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"];

/// What it takes to write to the topic of alarms, which is encrypted.
const TELL: &[&str] = &["kms:Decrypt", "kms:GenerateDataKey", "sns:Publish"];

const UNSEEN: &[Unseen] = &[
    Unseen {
        holder: "Role",
        actions: &["logs:CreateLogStream", "logs:PutLogEvents"],
        reason: "Lambda writes the log in the role's name; the emulator takes the lines from the process itself",
    },
    Unseen {
        holder: "WorkerRole",
        actions: POLLER,
        reason: "Lambda reads the queue in the role's name; the emulator reads it without asking",
    },
    Unseen { holder: "DeliverRole", actions: POLLER, reason: "as of the worker" },
    Unseen {
        holder: "DeliverRole",
        actions: &["s3:AbortMultipartUpload"],
        reason: "only a copy in parts that breaks off is aborted, and no file here is that large",
    },
    Unseen { holder: "TelemetryRole", actions: POLLER, reason: "as of the worker" },
    Unseen { holder: "NotifyRole", actions: POLLER, reason: "as of the worker" },
    Unseen {
        holder: "TelemetryRole",
        actions: &["s3:ListBucket"],
        reason: "S3 asks for it when a document is gone; the emulator answers 404 without it",
    },
    Unseen {
        holder: "MonthlyRole",
        actions: TELL,
        reason: "Lambda tells of scheduled runs that failed in the role's name; the emulator tells without asking",
    },
    Unseen { holder: "ReconcileRole", actions: TELL, reason: "as of the monthly run" },
    Unseen { holder: "RetentionRole", actions: TELL, reason: "as of the monthly run" },
];

/// Managed policies, which only the services of AWS use.
const MANAGED: &[Unseen] = &[
    Unseen {
        holder: "NetworkPolicy",
        actions: &[
            "ec2:AssignPrivateIpAddresses",
            "ec2:CreateNetworkInterface",
            "ec2:DeleteNetworkInterface",
            "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSubnets",
            "ec2:UnassignPrivateIpAddresses",
        ],
        reason: "Lambda prepares the network of a function in a VPC, which the emulator does not have",
    },
    Unseen {
        holder: "TracingPolicy",
        actions: &["xray:PutTelemetryRecords", "xray:PutTraceSegments"],
        reason: "the daemon of X-Ray sends the traces; the suite has one of its own, which asks nobody",
    },
];

/// Reports whether the emulator lets a call happen without its grant, though it looks for it: a mail to a topic.
pub(super) fn is_not_refused(holder: &Holder, grant: &Grant) -> bool {
    holder.id.ends_with("NotifyRole") && grant.action == "sns:Publish"
}

/// Files that are held. The signer reads other files by the same action, which is tried.
const HELD: &str = "/analytics/held/*";

/// Returns the reason why no call on the emulator uses a grant, if none does.
pub(super) fn unseen(holder: &Holder, grant: &Grant) -> Option<&'static str> {
    if holder.id.ends_with("DownloadSigner") && grant.resource.ends_with(HELD) {
        return Some("no link of a held file is followed here");
    }
    let is_it =
        |unseen: &&Unseen| holder.id.ends_with(unseen.holder) && unseen.actions.contains(&grant.action.as_str());
    UNSEEN.iter().find(is_it).map(|unseen| unseen.reason)
}

/// Checks that each entry stands for grants of the template, and that the managed policies have no others.
pub(super) fn assert_current(holders: &[Holder]) {
    for Unseen { holder, actions, .. } in UNSEEN {
        for action in *actions {
            let mut all = holders.iter().filter(|found| found.id.ends_with(holder)).flat_map(Holder::grants);
            assert!(all.any(|grant| grant.action == *action), "{holder} has no {action}");
        }
    }
    let template = Template::read();
    let mut policies = template.resources("AWS::IAM::ManagedPolicy");
    policies.sort_unstable();
    assert_eq!(policies, MANAGED.iter().map(|unseen| unseen.holder).collect::<Vec<_>>());
    for Unseen { holder, actions, reason } in MANAGED {
        let statements = template.value(&format!("Resources/{holder}/Properties/PolicyDocument/Statement"));
        let allowed = statements.as_array().into_iter().flatten().filter(|statement| statement["Effect"] == "Allow");
        let found: Vec<&str> = allowed
            .flat_map(|statement| statement["Action"].as_array().into_iter().flatten().filter_map(Value::as_str))
            .collect();
        assert_eq!(found, *actions, "{holder}: {reason}");
    }
}
