use super::*;

/// Variables that give their names, and one that is hostile.
#[derive(Debug)]
pub(in crate::service::http) struct Names;

impl Variables for Names {
    fn write(&self, variable: Variable, out: &mut Vec<u8>) {
        match variable.name() {
            "referer" => out.extend_from_slice(b"a\r\nx: y"),
            "query" => {}
            name => out.extend_from_slice(name.to_uppercase().as_bytes()),
        }
    }
}

/// Variables that all have one value.
struct Same<'a>(&'a [u8]);

impl Variables for Same<'_> {
    fn write(&self, _: Variable, out: &mut Vec<u8>) {
        out.extend_from_slice(self.0);
    }
}

fn written(template: &Template, variables: &dyn Variables) -> Vec<u8> {
    let mut out = b"> ".to_vec();
    template.write(variables, &mut out);
    out.split_off(2)
}

#[test]
fn variables_are_put_into_the_text() {
    let table = [
        ("plain", "plain"),
        ("", ""),
        ("https://$host$path$query", "https://HOSTPATH"),
        ("${host}name $$1", "HOSTname $1"),
        ("$$", "$"),
        ("$$$host$$host", "$HOST$host"),
        ("$source:$source_port", "SOURCE:SOURCE_PORT"),
        ("$method!", "METHOD!"),
        ("$referer!", "a__x: y!"),
        ("a\tb", "a\tb"),
        ("\u{fc}$host}", "\u{fc}HOST}"),
    ];
    for (text, expected) in table {
        let template = Template::parse(text, Purpose::Log).unwrap();
        assert_eq!(template.text(), text);
        let out = written(&template, &Names);
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }
}

#[test]
fn no_value_brings_a_control_character() {
    let template = Template::parse("<$user_agent>", Purpose::Log).unwrap();
    for byte in 0..=u8::MAX {
        let out = written(&template, &Same(&[b'a', byte, b'b']));
        let shown = if byte.is_ascii_control() { b'_' } else { byte };
        assert_eq!(out, [b'<', b'a', shown, b'b', b'>'], "{byte}");
    }
}

#[test]
fn what_is_no_template_is_refused_with_its_reason() {
    let unknown = |name: &str| TemplateError::Unknown(name.to_owned(), Purpose::Field);
    let table = [
        ("$nothing", unknown("nothing")),
        ("${no name}", unknown("no name")),
        ("$hostname", unknown("hostname")),
        ("${}", unknown("")),
        ("${1}", unknown("1")),
        ("$duration", unknown("duration")),
        ("a $", TemplateError::NoName),
        ("$$$", TemplateError::NoName),
        ("$1", TemplateError::NoName),
        ("$Host", TemplateError::NoName),
        ("${host", TemplateError::Open),
        ("a\nb", TemplateError::Control),
        ("a\u{7f}", TemplateError::Control),
        ("a\u{85}", TemplateError::Control),
        (&"a".repeat(TEMPLATE_SIZE_MAX + 1), TemplateError::Long),
    ];
    for (text, error) in table {
        assert_eq!(Template::parse(text, Purpose::Field), Err(error.clone()), "{text}");
        assert!(!error.to_string().is_empty());
    }
    let error = unknown("nothing").to_string();
    assert!(error.contains("`$nothing`") && error.contains("$host, $path"), "{error}");
    assert!(Template::parse("$duration", Purpose::Log).is_ok());
    assert!(Template::parse("$user", Purpose::Field).is_ok());
}

#[test]
fn what_groups_have_found_is_put_into_the_text() {
    struct Groups;
    impl Variables for Groups {
        fn write(&self, _: Variable, _: &mut Vec<u8>) {}
        fn write_capture(&self, group: u8, out: &mut Vec<u8>) {
            out.extend_from_slice(format!("<{group}\n>").as_bytes());
        }
    }
    for (text, expected, most) in [
        ("/a", "/a", None),
        ("/$1", "/<1_>", Some(1)),
        ("/$10", "/<1_>0", Some(1)),
        ("/${10}$2", "/<10_><2_>", Some(10)),
        ("$0", "<0_>", Some(0)),
        ("$1a", "<1_>a", Some(1)),
    ] {
        let template = Template::parse(text, Purpose::Path).unwrap();
        assert_eq!(template.capture_max(), most, "{text}");
        let out = String::from_utf8(written(&template, &Groups)).unwrap();
        assert_eq!(out, expected, "{text}");
        assert_eq!(template.is_constant(), most.is_none(), "{text}");
        assert!(Template::parse(text, Purpose::Location).is_ok(), "{text}");
        assert_eq!(Template::parse(text, Purpose::Field).is_ok(), most.is_none(), "{text}");
    }
    for text in ["$host", "${100}", "${256}", "${+1}", "$"] {
        Template::parse(text, Purpose::Path).unwrap_err();
    }
}

#[test]
fn a_literal_has_no_variables() {
    let template = Template::literal("a$host$$");
    assert_eq!(template.constant(), Some(b"a$host$$".as_slice()));
    assert_eq!(Template::parse(template.text(), Purpose::Field), Ok(template));
}

#[test]
fn a_variable_is_found_by_its_name() {
    for variable in Variable::ALL {
        assert_eq!(Variable::of(variable.name()), Some(variable));
        let text = format!("a${{{}}}", variable.name());
        let template = Template::parse(&text, Purpose::Log).unwrap();
        assert_eq!(template.variables().collect::<Vec<_>>(), [variable]);
        let is_refused = Template::parse(&text, Purpose::Field).is_err();
        assert_eq!(is_refused, variable.is_of_logs());
    }
    assert_eq!(Variable::of(""), None);
    assert_eq!(Variable::ALL.iter().filter(|one| one.is_of_logs()).count(), 16);
}

#[test]
fn a_template_knows_what_is_in_it() {
    let table = [
        ("", Some("")),
        ("plain", Some("plain")),
        ("a$$b", Some("a$b")),
        ("$host", None),
        ("a$host", None),
    ];
    for (text, constant) in table {
        let template = Template::parse(text, Purpose::Field).unwrap();
        assert_eq!(template.constant(), constant.map(str::as_bytes), "{text}");
        assert_eq!(template.is_constant(), constant.is_some());
    }
    let template = Template::parse("$host$path", Purpose::Field).unwrap();
    assert!(template.has_only(&[Variable::Path, Variable::Host]));
    assert!(!template.has_only(&[Variable::Host]));
    assert!(Template::default().has_only(&[]));
}
