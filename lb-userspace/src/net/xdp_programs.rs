//! Which interfaces have an XDP program, whoever put it there, and in which mode.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkXdp, XdpAttached};

use super::{Error, Netlink};

/// A program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XdpProgram {
    /// The kernel's number of it.
    pub id: u32,
    /// Whether it is in the driver.
    pub native: bool,
}

impl Netlink {
    /// The kernel's number of the program on each interface that has one, by the interface's name.
    pub async fn xdp_programs(&self) -> Result<BTreeMap<String, u32>, Error> {
        let attached = self.attached_programs().await?;
        Ok(attached.into_iter().map(|(name, program)| (name, program.id)).collect())
    }

    /// The program on each interface that has one, by the interface's name.
    pub async fn attached_programs(&self) -> Result<BTreeMap<String, XdpProgram>, Error> {
        let mut programs = BTreeMap::new();
        let mut links = Box::pin(self.handle.link().get().execute());
        while let Some(link) = links.try_next().await.map_err(Error::read("the links"))? {
            let (mut name, mut program) = (None, None);
            for attribute in link.attributes {
                match attribute {
                    LinkAttribute::IfName(given) => name = Some(given),
                    LinkAttribute::Xdp(xdp) => program = from_attributes(&xdp),
                    _ => {}
                }
            }
            programs.extend(name.zip(program));
        }
        Ok(programs)
    }
}

fn from_attributes(attributes: &[LinkXdp]) -> Option<XdpProgram> {
    let id = attributes.iter().find_map(|attribute| match attribute {
        LinkXdp::ProgId(id) => Some(*id),
        _ => None,
    })?;
    let is_driver = |attribute: &LinkXdp| matches!(attribute, LinkXdp::Attached(XdpAttached::Driver));
    Some(XdpProgram { id, native: attributes.iter().any(is_driver) })
}
