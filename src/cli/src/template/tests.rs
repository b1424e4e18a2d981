use super::*;
use serde_json::json;

fn data() -> Value {
    json!({
        "ID": "abc", "Names": "web", "Ports": ["80", "443"], "Up": true, "None": null, "Evil": "\u{1b}[31mred\r", "Code": 3,
        "Label": {"app": "shop"}, "run": {"exit": {"code": 137}}
    })
}

fn rendered(template: &str) -> String {
    template
        .parse::<Template>()
        .and_then(|template| template.render(&data()))
        .unwrap_or_else(|e| format!("error: {e}"))
}

#[test]
fn templates_do_what_gos_do() {
    for (template, text) in [
        ("", ""),
        ("plain", "plain"),
        (r"{{.ID}}\t{{.Names}}\n", "abc\tweb\n"),
        ("{{ .run.exit.code }}", "137"),
        ("{{.Ports}}", "[80 443]"),
        ("{{.run}}", "map[exit:map[code:137]]"),
        ("{{json .Ports}} {{.Ports | json}}", r#"["80","443"] ["80","443"]"#),
        (r#"{{join .Ports ", "}}"#, "80, 443"),
        (
            r#"{{index .Ports 1}} {{index .Label "app"}} {{.Label "app"}} {{.Label "no"}}"#,
            "443 shop shop <no value>",
        ),
        ("{{range .Ports}}[{{.}} {{$.ID}}]{{else}}none{{end}}", "[80 abc][443 abc]"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{if .Up}}up{{else}}down{{end}}{{if not .Up}}!{{end}}", "up"),
        ("{{if eq .Code 4}}four{{else if eq .Code 3}}three{{else}}many{{end}}", "three"),
        ("{{with .run.exit}}{{.code}}{{end}}", "137"),
        (r#"{{if and .Up (eq .Names "web")}}yes{{end}}"#, "yes"),
        ("{{upper .Names}} {{.Names | title}} {{len .Ports}}", "WEB Web 2"),
        (r#"{{"}}"}} {{- /* nothing */ -}} {{"a\tb"}}"#, "}}a\tb"),
        ("{{.None.of.this}}", "<no value>"),
        ("{{truncate .ID 2}}{{lt .Code 4}}", "abtrue"),
        ("{{.Evil}}", "[31mred"),
    ] {
        assert_eq!(rendered(template), text, "{template}");
    }
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    for (template, word) in [
        ("{{.Nope}}", "ID"),
        ("{{.run.no}}", ".run.no"),
        ("{{.ID.x}}", "nothing in .ID"),
        ("{{", "no }}"),
        ("{{}}", "empty"),
        ("{{end}}", "no beginning"),
        ("{{if .Up}}x", "no {{end}}"),
        ("{{shout .ID}}", "no function shout"),
        ("{{.ID | }}", "empty"),
        ("{{(.ID}}", "no )"),
        ("{{.ID)}}", "too many"),
        ("{{\"x}}", "no }}"),
        ("{{range .ID}}{{end}}", "range"),
        ("{{index .Ports 9}}", "no item 9"),
        ("{{ID-x}}", "not known"),
    ] {
        let said = rendered(template);
        assert!(said.starts_with("error: ") && said.contains(word), "{template}: {said}");
    }
    let deep = "{{if .Up}}".repeat(100) + &"{{end}}".repeat(100);
    assert!(rendered(&deep).contains("too deep"));
    let deep = format!("{{{{{}.ID{}}}}}", "(".repeat(100), ")".repeat(100));
    assert!(rendered(&deep).contains("too deep"));
}

#[test]
fn what_a_template_asks_for_is_known() {
    let mentions = |template: &str, name: &str| template.parse::<Template>().unwrap().mentions(name);
    assert!(mentions("{{if .Up}}{{.Size}}{{end}}", "Size") && mentions("{{json .}}", "Size"));
    assert!(mentions("{{len (upper .Size)}}", "Size") && !mentions("{{.ID}} Size", "Size"));
    assert!(matches!("table {{.ID}}".parse::<Format>().unwrap(), Format::Table(Some(_))));
    assert!(matches!("table".parse::<Format>().unwrap(), Format::Table(None)));
}
