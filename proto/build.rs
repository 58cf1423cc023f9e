//! Compiles the schema with a pure Rust compiler, so that no `protoc` is needed, and lists its methods.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=schema");
    let descriptors = protox::compile(["longshore/v1/agent.proto"], ["schema"])?;
    let mut methods = Vec::new();
    for file in &descriptors.file {
        for service in &file.service {
            let service_path = format!("/{}.{}/", file.package(), service.name());
            let names = service.method.iter().map(|method| method.name().to_owned());
            methods.extend(names.map(|name| (service_path.clone() + &name, name)));
        }
    }
    let methods = methods
        .iter()
        .map(|(path, name)| (path.as_str(), name.as_str()));
    let methods: Vec<(&str, &str)> = methods.collect();
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
    std::fs::write(
        Path::new(&folder).join("methods.rs"),
        format!("&{methods:?}"),
    )?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    Ok(())
}
