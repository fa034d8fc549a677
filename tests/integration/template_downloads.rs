//! The two signers of download links in the template, of which a stack has one.

use objects::LINK_LIFETIME;
use serde_json::{Value, json};
use tests::Template;

/// Returns the statement of the bucket's policy with this `Sid`, and the condition under which the policy has it.
fn statement(template: &Template, sid: &str) -> (Value, Value) {
    let statements = template.value("Resources/ExportsBucketPolicy/Properties/PolicyDocument/Statement");
    let found = statements.as_array().unwrap().iter().map(|each| &each["Fn::If"]).find(|each| each[1]["Sid"] == sid);
    let [condition, statement, otherwise] = found.unwrap().as_array().unwrap().as_slice() else { panic!("{sid}") };
    assert_eq!(*otherwise, json!({"Ref": "AWS::NoValue"}), "{sid}");
    (condition.clone(), statement.clone())
}

/// Returns the value of a variable of the API with links by CloudFront, and without.
fn variable(template: &Template, name: &str) -> (Value, Value) {
    let value = template.value(&format!("Resources/ApiFunction/Properties/Environment/Variables/{name}/Fn::If"));
    assert_eq!(value[0], "ByCloudFront", "{name}");
    (value[1].clone(), value[2].clone())
}

#[test]
fn links_by_cloudfront_need_no_user() {
    let template = Template::read();
    let by = |signer: &str| json!({"Fn::Equals": [{"Ref": "DownloadsBy"}, signer]});
    assert_eq!(*template.value("Parameters/DownloadsBy/Default"), "s3-key");
    assert_eq!(*template.value("Conditions/ByCloudFront"), by("cloudfront"));
    let on_s3 = json!({"Condition": "OnS3"});
    assert_eq!(*template.value("Conditions/ByS3Key"), json!({"Fn::And": [on_s3, by("s3-key")]}));
    let is_created = json!({"Fn::Equals": [{"Ref": "CreateDownloadKey"}, "true"]});
    assert_eq!(
        *template.value("Conditions/WithDownloadKey"),
        json!({"Fn::And": [{"Condition": "ByS3Key"}, is_created]})
    );
    for (kind, condition) in [("AWS::IAM::User", "ByS3Key"), ("AWS::IAM::AccessKey", "WithDownloadKey")] {
        let found = template.resources(kind);
        assert_eq!(found.len(), 1, "{kind}");
        for name in found {
            assert_eq!(*template.value(&format!("Resources/{name}/Condition")), condition, "{name}");
        }
    }
    assert_eq!(*template.value("Resources/DownloadKey/Condition"), "WithDownloadKey");
    for sid in ["OnlyLinks", "OnlyForADay"] {
        assert_eq!(statement(&template, sid).0, "WithDownloadKey", "{sid}");
    }
    assert_eq!(*template.value("Resources/Downloads/Condition"), "ByCloudFront");
}

#[test]
fn the_bucket_lets_one_distribution_read_files() {
    let template = Template::read();
    let (condition, mut statement) = statement(&template, "OnlyThisDistribution");
    assert_eq!(condition, "ByCloudFront");
    let arn = "arn:${AWS::Partition}:cloudfront::${AWS::AccountId}:distribution/${Downloads.Outputs.Distribution}";
    assert_eq!(statement["Condition"].take(), json!({"StringEquals": {"aws:SourceArn": {"Fn::Sub": arn}}}));
    let others = json!({
        "Sid": "OnlyThisDistribution",
        "Effect": "Allow",
        "Principal": {"Service": "cloudfront.amazonaws.com"},
        "Action": "s3:GetObject",
        "Resource": [
            {"Fn::Sub": "${ExportsBucket.Arn}/analytics/exports/*"},
            {"Fn::Sub": "${ExportsBucket.Arn}/analytics/held/*"},
        ],
        "Condition": null,
    });
    assert_eq!(statement, others);
    let downloads = Template::downloads();
    let property =
        |path: &str| downloads.value(&format!("Resources/Distribution/Properties/DistributionConfig/{path}"));
    assert_eq!(*property("Origins/0/OriginAccessControlId"), json!({"Fn::GetAtt": "OriginAccess.Id"}));
    let access = downloads.value("Resources/OriginAccess/Properties/OriginAccessControlConfig");
    assert_eq!((&access["SigningBehavior"], &access["SigningProtocol"]), (&json!("always"), &json!("sigv4")));
    assert_eq!(*property("DefaultCacheBehavior/TrustedKeyGroups"), json!([{"Ref": "Keys"}]));
    assert_eq!(*property("DefaultCacheBehavior/ViewerProtocolPolicy"), "https-only");
    // There is no other way around the links.
    let config = downloads.value("Resources/Distribution/Properties/DistributionConfig").as_object().unwrap();
    assert!(!config.contains_key("CacheBehaviors"), "{config:?}");
}

#[test]
fn links_of_two_keys_work_while_keys_are_rotated() {
    let downloads = Template::downloads();
    let items = downloads.value("Resources/Keys/Properties/KeyGroupConfig/Items");
    let given = |condition: &str, key: &str| json!({"Fn::If": [condition, {"Ref": key}, {"Ref": "AWS::NoValue"}]});
    assert_eq!(*items, json!([given("WithFirst", "FirstKey"), given("WithSecond", "SecondKey")]));
    for (key, parameter) in [("FirstKey", "PublicKey"), ("SecondKey", "SecondPublicKey")] {
        let pem = downloads.value(&format!("Resources/{key}/Properties/PublicKeyConfig/EncodedKey/Fn::Sub"));
        assert_eq!(pem[0], "-----BEGIN PUBLIC KEY-----\n${Lines}\n-----END PUBLIC KEY-----\n", "{key}");
        assert_eq!(pem[1], json!({"Lines": {"Fn::Join": ["\n", {"Ref": parameter}]}}), "{key}");
    }

    let template = Template::read();
    assert_eq!(variable(&template, "EXPORTS_LINK_KEYS").0, json!({"Fn::GetAtt": "Downloads.Outputs.Keys"}));
    assert_eq!(variable(&template, "EXPORTS_LINK_DOMAIN").0, json!({"Fn::GetAtt": "Downloads.Outputs.Domain"}));
    let (by_cloudfront, by_key) = variable(&template, "EXPORTS_LINK_SECRET");
    assert_eq!(by_cloudfront, json!({"Fn::Sub": "${AWS::StackName}/cloudfront-key"}));
    assert_eq!(by_key["Fn::If"][1], json!({"Ref": "DownloadKey"}));
    // The role may read the secret of the present signer alone.
    let statements = template.value("Resources/ApiRole/Properties/Policies/0/PolicyDocument/Statement");
    let login = statements.as_array().unwrap().iter().find(|each| each["Sid"] == "Login").unwrap();
    let secrets = &login["Resource"][1]["Fn::If"];
    let name = |index: usize| secrets[index]["Fn::Sub"].as_str().unwrap().rsplit(":secret:").next().unwrap().to_owned();
    assert_eq!(secrets[0], "ByCloudFront");
    assert_eq!(name(1), "${AWS::StackName}/cloudfront-key-??????");
    assert_eq!(name(2), "${AWS::StackName}/download-key-??????");
    // What the bucket's policy allows the key of a user, the signed time gives by CloudFront.
    let (_, day) = statement(&template, "OnlyForADay");
    let milliseconds = day["Condition"]["NumericGreaterThan"]["s3:signatureAge"].as_u64().unwrap();
    assert_eq!(u128::from(milliseconds), LINK_LIFETIME.as_millis());
}
