use super::*;
use crate::ErrorKind;

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn one_meaning_has_one_spelling() {
    let a = normalise(&map(&[("mode", "0750"), ("uid", "007")])).expect("valid");
    let b = normalise(&map(&[("mode", "750"), ("uid", "7")])).expect("valid");
    assert_eq!(a, b);
}

#[test]
fn an_unknown_option_names_the_nearest() {
    let error = Options::parse(&map(&[("on-remve", "retain")])).expect_err("misspelt");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.hint(), Some("did you mean `on-remove`?"));
}

#[test]
fn what_is_not_built_is_unsupported_and_what_is_wrong_is_invalid() {
    let kind = |pairs: &[(&str, &str)]| Options::parse(&map(pairs)).expect_err("refused").kind();
    assert_eq!(kind(&[("fs", "xfs")]), ErrorKind::Unsupported);
    assert_eq!(kind(&[("policy", "a+")]), ErrorKind::Invalid);
    for size in ["huge", "0", "1023K", "10", "5E"] {
        assert_eq!(kind(&[("size", size)]), ErrorKind::Invalid, "{size}");
    }
    assert_eq!(kind(&[("uid", "root")]), ErrorKind::Invalid);
    assert_eq!(kind(&[("uid", "4294967295")]), ErrorKind::Invalid);
    assert_eq!(kind(&[("uid", "+1")]), ErrorKind::Invalid);
    assert_eq!(kind(&[("mode", "0999")]), ErrorKind::Invalid);
    assert_eq!(kind(&[("mode", "77777")]), ErrorKind::Invalid);
    assert_eq!(kind(&[("access", "both")]), ErrorKind::Invalid);
}

#[test]
fn set_takes_only_what_can_change() {
    let options = Options::default();
    let error = options.clone().set(&map(&[("access", "single")])).expect_err("create only");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(options.set(&map(&[("uid", "5")])).expect("settable").uid, Some(5));
}

#[test]
fn a_size_has_a_spelling_and_a_verb_of_its_own() {
    let given = normalise(&map(&[("size", "10240MiB")])).expect("valid");
    assert_eq!(given, map(&[("size", "10GiB")]));
    assert_eq!(normalise(&given).expect("normal"), given);
    let options = Options::parse(&given).expect("valid");
    assert_eq!(options.size, Some(Bytes(10 << 30)));
    let error = options.clone().set(&given).expect_err("not by set");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.hint(), Some("berth volume resize NAME SIZE"));
    assert_eq!(options.resized("1025M").expect("valid").size, Some(Bytes(1025 << 20)));
}

#[test]
fn typed_options_survive_json() {
    let options = Options::parse(&map(&[
        ("mode", "1777"),
        ("size", "1G"),
        ("on-remove", "retain"),
        ("policy", "b+a"),
    ]))
    .expect("valid");
    let text = serde_json::to_string(&options).expect("serialises");
    assert_eq!(serde_json::from_str::<Options>(&text).expect("parses"), options);
}

#[test]
fn policies_are_a_set_that_set_changes_and_takes_off() {
    let given = normalise(&map(&[("policy", "b+a+b")])).expect("valid");
    assert_eq!(given, map(&[("policy", "a+b")]));
    assert_eq!(normalise(&given).expect("normal"), given);
    let names = |options: &Options| policy::join(&options.policy);
    let options = Options::parse(&given).expect("valid");
    assert_eq!(names(&options), "a+b");
    let options = options.set(&map(&[("policy", "c")])).expect("settable");
    assert_eq!(names(&options), "c", "what is set replaces all");
    let options = options.over(&map(&[("uid", "7")])).expect("valid");
    assert_eq!(names(&options), "c");
    assert!(options.set(&map(&[("policy", "")])).expect("taken off").policy.is_empty());
}

#[test]
fn mount_options_have_one_spelling_and_the_pool_says_what_they_are() {
    let given = map(&[("mount-options", " noexec, noatime,noexec,")]);
    let given = normalise(&given).expect("valid");
    assert_eq!(given, map(&[("mount-options", "noatime,noexec")]));
    assert_eq!(normalise(&given).expect("normal"), given);
    let options = Options::parse(&given).expect("valid");
    let emptied = options.set(&map(&[("mount-options", "")])).expect("settable");
    assert_eq!(emptied.mount_options.as_deref(), Some(""));
    for text in ["a\nb", "noatime\0", &"a".repeat(1001)] {
        let error = Options::parse(&map(&[("mount-options", text)])).expect_err(text);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{text:?}");
    }
}
