//! A stack on its way to a host.

use super::{
    InvalidMessage, into_all, invalid, optional, parse, parse_all, probe, text, texts, wire,
};
use crate::hook::HOOKS;
use crate::id::BlobId;
use crate::limits::{AVAILABLE_FILES, BUNDLE_FILES, EXCLUDED, PATH_BYTES, VALUES_BYTES};
use crate::probe::PROBES;
use crate::registry::RegistryAuth;
use crate::stack::{ShippedFile, StackOffer, StackSpec, Value};

impl From<StackOffer> for wire::StageBegin {
    fn from(offer: StackOffer) -> Self {
        let StackOffer {
            spec,
            available,
            default_project,
        } = offer;
        let StackSpec {
            stack,
            project,
            compose_files,
            env_files,
            folder,
            directory,
            profiles,
            values,
            allow_undefined,
            exclude,
            files,
            probes,
            deadlines,
            hooks,
        } = spec;
        let mut env_files = env_files.into_iter();
        Self {
            stack: stack.into(),
            project: project.into(),
            compose_files: texts(compose_files),
            env_file: text(env_files.next()),
            more_env_files: texts(env_files.collect()),
            folder: text(folder),
            available: texts(available),
            default_project: text(default_project),
            directory: text(directory),
            profiles,
            values: values.into_iter().map(Into::into).collect(),
            allow_undefined: texts(allow_undefined),
            exclude,
            files: files.into_iter().map(Into::into).collect(),
            probes: probes.into_iter().map(Into::into).collect(),
            deadlines: deadlines.into_iter().map(probe::deadline_to_wire).collect(),
            hooks: hooks.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<wire::StageBegin> for StackOffer {
    type Error = InvalidMessage;
    fn try_from(message: wire::StageBegin) -> Result<Self, InvalidMessage> {
        let wire::StageBegin {
            stack,
            project,
            compose_files,
            env_file,
            more_env_files,
            folder,
            available,
            default_project,
            directory,
            profiles,
            values,
            allow_undefined,
            exclude,
            files,
            probes,
            deadlines,
            hooks,
        } = message;
        let env_file = Some(env_file).filter(|path| !path.is_empty());
        if values.iter().map(|value| value.text.len()).sum::<usize>() > VALUES_BYTES {
            return Err(InvalidMessage(format!(
                "more than {VALUES_BYTES} bytes of values"
            )));
        }
        if probes.len() > PROBES {
            return Err(InvalidMessage(format!("more than {PROBES} probes")));
        }
        if files.len() > BUNDLE_FILES {
            return Err(InvalidMessage(format!("more than {BUNDLE_FILES} files")));
        }
        if available.len() > AVAILABLE_FILES {
            return Err(InvalidMessage(format!(
                "more than {AVAILABLE_FILES} names of files"
            )));
        }
        if exclude.len() > EXCLUDED || exclude.iter().any(|it| it.len() > PATH_BYTES) {
            return Err(InvalidMessage(format!(
                "more than {EXCLUDED} patterns of files, or one longer than {PATH_BYTES} bytes"
            )));
        }
        if hooks.len() > HOOKS {
            return Err(InvalidMessage(format!("more than {HOOKS} hooks")));
        }
        let spec = StackSpec {
            stack: parse(&stack)?,
            project: parse(&project)?,
            compose_files: parse_all(compose_files)?,
            env_files: parse_all(env_file.into_iter().chain(more_env_files).collect())?,
            folder: optional(&folder)?,
            directory: optional(&directory)?,
            profiles,
            values: into_all(values)?,
            allow_undefined: parse_all(allow_undefined)?,
            exclude,
            files: into_all(files)?,
            probes: into_all(probes)?,
            deadlines: deadlines
                .into_iter()
                .map(probe::deadline_from_wire)
                .collect::<Result<_, _>>()?,
            hooks: into_all(hooks)?,
        };
        Ok(Self {
            spec,
            available: parse_all(available)?,
            default_project: optional(&default_project)?,
        })
    }
}

impl From<Value> for wire::Value {
    fn from(value: Value) -> Self {
        let Value { name, text, secret } = value;
        Self {
            name: name.into(),
            text,
            secret,
        }
    }
}

impl TryFrom<wire::Value> for Value {
    type Error = InvalidMessage;
    fn try_from(message: wire::Value) -> Result<Self, InvalidMessage> {
        let wire::Value { name, text, secret } = message;
        Self::new(parse(&name)?, text, secret).map_err(invalid)
    }
}

impl From<ShippedFile> for wire::File {
    fn from(file: ShippedFile) -> Self {
        let ShippedFile {
            path,
            mode,
            size,
            blob,
        } = file;
        Self {
            path: path.into(),
            mode,
            size,
            blob: blob.as_bytes().to_vec(),
        }
    }
}

impl TryFrom<wire::File> for ShippedFile {
    type Error = InvalidMessage;
    fn try_from(message: wire::File) -> Result<Self, InvalidMessage> {
        let wire::File {
            path,
            mode,
            size,
            blob,
        } = message;
        let path = parse(&path)?;
        // Set-uid, set-gid and sticky bits have no business in a shipped file.
        if mode & !0o777 != 0 {
            return Err(InvalidMessage(format!("file {path} has mode {mode:o}")));
        }
        Ok(Self {
            path,
            mode,
            size,
            blob: blob_from_wire(&blob)?,
        })
    }
}

/// Reads a blob's id.
///
/// # Errors
/// When it is not 32 bytes long.
pub fn blob_from_wire(bytes: &[u8]) -> Result<BlobId, InvalidMessage> {
    let bytes = bytes
        .try_into()
        .map_err(|_| InvalidMessage("a blob id is 32 bytes".to_owned()))?;
    Ok(BlobId::from_bytes(bytes))
}

impl From<RegistryAuth> for wire::RegistryAuth {
    fn from(auth: RegistryAuth) -> Self {
        let RegistryAuth {
            registry,
            username,
            password,
            identity_token,
        } = auth;
        Self {
            registry,
            username,
            password,
            identity_token,
        }
    }
}

impl From<wire::RegistryAuth> for RegistryAuth {
    fn from(auth: wire::RegistryAuth) -> Self {
        let wire::RegistryAuth {
            registry,
            username,
            password,
            identity_token,
        } = auth;
        Self {
            registry,
            username,
            password,
            identity_token,
        }
    }
}
