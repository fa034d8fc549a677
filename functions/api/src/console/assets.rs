//! The style, the script and the icon of the pages. The digest of an asset's bytes is its name, so that a browser may keep
//! it for ever, and a new version has a new address.

use std::sync::LazyLock;

use axum::{
    extract::Path,
    http::header,
    response::{IntoResponse as _, Response},
};
use sha2::{Digest as _, Sha256};

use crate::problem::{Kind, Problem};

/// The number of bytes of the digest in a name.
const NAME_BYTES: usize = 8;

/// A file of the pages.
#[derive(Debug)]
pub(super) struct Asset {
    bytes: &'static str,
    content_type: &'static str,
    /// The address.
    pub(super) path: String,
}

/// The pages' own style, and that of the report of CI, which its file has, too.
const STYLES: &str = concat!(include_str!("assets/console.css"), include_str!("../ci/report.css"));

/// The style of all pages.
pub(super) static STYLE: LazyLock<Asset> = LazyLock::new(|| Asset::new(STYLES, "css", "text/css; charset=utf-8"));

/// The script of all pages: what it adds is also there without it.
pub(super) static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_str!("assets/console.js"), "js", "text/javascript; charset=utf-8"));

/// The icon of all pages. Without one, browsers ask for `/favicon.ico`.
pub(super) static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new(include_str!("assets/icon.svg"), "svg", "image/svg+xml"));

impl Asset {
    fn new(bytes: &'static str, ending: &str, content_type: &'static str) -> Self {
        let digest = hex::encode(&Sha256::digest(bytes)[..NAME_BYTES]);
        Self { bytes, content_type, path: format!("/finance/assets/{digest}.{ending}") }
    }
}

/// Serves an asset. It needs no session, since it says nothing of anybody.
pub(super) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let all = [&*STYLE, &*SCRIPT, &*ICON];
    let asset = all.into_iter().find(|asset| asset.path.strip_prefix("/finance/assets/") == Some(name.as_str()));
    let asset = asset.ok_or_else(|| Problem::new(Kind::NoSuchRoute, "Reload the page that names this file."))?;
    let headers =
        [(header::CONTENT_TYPE, asset.content_type), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, asset.bytes).into_response())
}

#[cfg(test)]
mod tests {
    use super::{super::sample::gzip, *};

    #[test]
    fn assets_are_small_and_named_by_their_bytes() {
        let all = [&*STYLE, &*SCRIPT, &*ICON];
        let size: usize = all.iter().map(|asset| gzip(asset.bytes)).sum();
        assert!(size <= 15 << 10, "{size} bytes");
        assert!(SCRIPT.bytes.len() <= 3 << 10, "{} bytes of script", SCRIPT.bytes.len());
        for asset in all {
            let name = asset.path.strip_prefix("/finance/assets/").unwrap();
            assert!(hex::encode(Sha256::digest(asset.bytes)).starts_with(name.split('.').next().unwrap()), "{name}");
        }
    }

    #[tokio::test]
    async fn an_asset_is_kept_and_an_unknown_one_is_none() {
        let name = STYLE.path.rsplit('/').next().unwrap().to_owned();
        let answer = serve(Path(name)).await.unwrap();
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
        assert!(serve(Path("0123456789abcdef.css".to_owned())).await.is_err());
    }
}
