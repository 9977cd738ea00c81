//! How this program is called from a shell: lines to try have to work as they are printed.

use std::ffi::{OsStr, OsString};
use std::path::Path;

/// The name to type: that of the program where the search path has it, else the path by which it
/// was started. `first` is the first of its arguments.
pub(super) fn name(first: Option<&OsStr>) -> String {
    let first = first.unwrap_or_else(|| OsStr::new("ringway"));
    let this = std::env::current_exe().and_then(std::fs::canonicalize).ok();
    let is_this = |path: &Path| this.is_some() && std::fs::canonicalize(path).ok() == this;
    shown(first, &std::env::var_os("PATH").unwrap_or_default(), is_this)
}

fn shown(first: &OsStr, search: &OsString, is_this: impl Fn(&Path) -> bool) -> String {
    let path = Path::new(first);
    let name = path.file_name().unwrap_or(first);
    let mut places = std::env::split_paths(search).map(|folder| folder.join(name));
    let is_found = places.find(|path| path.exists()).is_some_and(|path| is_this(&path));
    let text = if is_found { name } else { first }.to_string_lossy();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:,".contains(&byte);
    if text.bytes().all(is_plain) {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_off_the_search_path_is_called_by_its_path() {
        let folder = std::env::temp_dir().join(format!("ringway-path-{}", std::process::id()));
        let (own, other) = (folder.join("own"), folder.join("other"));
        for folder in [&own, &other] {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join("ringway"), "").unwrap();
        }
        let this = own.join("ringway");
        let is_this = |path: &Path| path == this;
        let search = |folders: &[&Path]| std::env::join_paths(folders).unwrap();
        let first = OsStr::new("target/release/ringway");
        assert_eq!(shown(first, &search(&[&own, &other]), is_this), "ringway");
        let by_path = "target/release/ringway";
        assert_eq!(shown(first, &search(&[&other, &own]), is_this), by_path, "another one");
        assert_eq!(shown(first, &search(&[Path::new("/none")]), is_this), by_path);
        assert_eq!(shown(first, &OsString::new(), is_this), by_path);
        let odd = OsStr::new("it's/ring way");
        assert_eq!(shown(odd, &OsString::new(), is_this), r"'it'\''s/ring way'");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
