use berth_api::ErrorKind;

use super::*;

fn text(result: Result<Call>) -> String {
    let error = result.expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    error.chain()
}

#[test]
fn reads_what_docker_sends() {
    let call = |verb, body: &str| decode(verb, body.as_bytes()).expect(body);
    let name = || "db".to_owned();
    // Docker's encoder ends with a line feed.
    assert_eq!(
        call(Verb::Create, "{\"Name\":\"db\",\"Opts\":{\"size\":\"1G\"}}\n"),
        Call::Create {
            name: name(),
            options: BTreeMap::from([("size".to_owned(), "1G".to_owned())])
        }
    );
    for body in [r#"{"Name":"db","Opts":null}"#, r#"{"Name":"db","Opts":{}}"#, r#"{"Name":"db"}"#] {
        assert_eq!(
            call(Verb::Create, body),
            Call::Create { name: name(), options: BTreeMap::new() }
        );
    }
    assert_eq!(
        call(Verb::Mount, r#"{"Name":"db","ID":"b87d7442095999a92b65b3d9691e697b"}"#),
        Call::Mount { name: name(), id: "b87d7442095999a92b65b3d9691e697b".to_owned() }
    );
    assert_eq!(
        call(Verb::Unmount, r#"{"ID":"1","Name":"db","Future":{"a":[1,null]}}"#),
        Call::Unmount { name: name(), id: "1".to_owned() }
    );
    assert_eq!(call(Verb::Get, r#"{"Name":"db"}"#), Call::Get { name: name() });
    assert_eq!(call(Verb::Path, r#"{"Name":"db"}"#), Call::Path { name: name() });
    assert_eq!(call(Verb::Remove, r#"{"Name":"db"}"#), Call::Remove { name: name() });
    assert_eq!(call(Verb::List, "{}\n"), Call::List);
    assert_eq!(call(Verb::Capabilities, "{}"), Call::Capabilities);
    assert_eq!(call(Verb::Activate, ""), Call::Activate);
}

#[test]
fn an_empty_body_is_a_repetition_and_refused() {
    for verb in Verb::ALL.into_iter().filter(|verb| *verb != Verb::Activate) {
        let text = text(decode(verb, b""));
        assert!(text.starts_with("request body is empty"), "{verb:?}: {text}");
    }
}

#[test]
fn a_name_is_never_made_up() {
    let verbs = [Verb::Create, Verb::Remove, Verb::Mount, Verb::Unmount, Verb::Path, Verb::Get];
    for verb in verbs {
        assert_eq!(text(decode(verb, br#"{"Name":"","ID":"1"}"#)), "volume name is empty");
        let bodies =
            ["{}", r#"{"Name":null}"#, r#"{"Name":5}"#, r#"{"Name":["a"]}"#, r#"{"name":"a"}"#];
        for body in bodies {
            let text = text(decode(verb, body.as_bytes()));
            assert!(text.contains("missing field or one of a wrong type"), "{verb:?} {body}");
        }
    }
}

#[test]
fn whatever_is_no_object_is_refused() {
    let cases: [(&[u8], &str); 9] = [
        (b"{\"Name\":\"d", "request body is truncated"),
        (b"{", "request body is truncated"),
        (b"{\"Name\":\"a\",\"ID\":\"1\"}x", "request body is not JSON"),
        (b"{\"Name\":\"a\",\"ID\":\"1\"}{\"Name\":\"b\"}", "request body is not JSON"),
        (b"[\"a\",\"1\"]", "request body is not a JSON object"),
        (b"null", "request body is not a JSON object"),
        (b"Name=db", "request body is not a JSON object"),
        (b" \n ", "request body is not a JSON object"),
        (b"{\"Name\":\"\xff\xfe\"}", "request body is not UTF-8"),
    ];
    for verb in [Verb::Create, Verb::Mount, Verb::Get, Verb::List] {
        for (body, expected) in cases {
            let text = text(decode(verb, body));
            assert!(text.starts_with(expected), "{verb:?} {body:?}: {text}");
        }
    }
}

#[test]
fn options_are_texts() {
    for opts in ["[]", "\"size=1G\"", "5", r#"{"size":1}"#, r#"{"size":null}"#, r#"{"a":{}}"#] {
        let body = format!(r#"{{"Name":"db","Opts":{opts}}}"#);
        let text = text(decode(Verb::Create, body.as_bytes()));
        assert!(text.contains("wrong type"), "{opts}: {text}");
    }
    // Values are taken as they are: `=` and commas included.
    let body = br#"{"Name":"db","Opts":{"a":"b=c,d","":""}}"#;
    let Call::Create { options, .. } = decode(Verb::Create, body).expect("valid") else {
        panic!("another call");
    };
    assert_eq!(options["a"], "b=c,d");
}

#[test]
fn a_mount_has_an_id() {
    for verb in [Verb::Mount, Verb::Unmount] {
        for body in [r#"{"Name":"a"}"#, r#"{"Name":"a","ID":null}"#, r#"{"Name":"a","ID":7}"#] {
            let text = text(decode(verb, body.as_bytes()));
            assert!(text.contains("missing field or one of a wrong type"), "{body}: {text}");
        }
    }
}

#[test]
fn deep_nesting_is_an_error_and_no_overflow() {
    let body = format!(r#"{{"Name":"a","x":{}}}"#, "[".repeat(500_000));
    assert!(text(decode(Verb::Get, body.as_bytes())).starts_with("request body"));
}
