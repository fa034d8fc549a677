//! A migration that is added has to be embedded.

fn main() {
    println!("cargo::rerun-if-changed=../../infra/migrations");
}
