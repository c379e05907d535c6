#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"

#include "services/config/transport/device_session.h"

namespace yagura::config {

// SSH by libssh. Reads neither the user's nor the machine's SSH configuration, agent or keys.
std::unique_ptr<DeviceConnector> NewSshConnector();

// The public half of an unencrypted private key as an authorized_keys line ("ssh-ed25519 AAAA...").
// INVALID_ARGUMENT where it is not one.
absl::StatusOr<std::string> PublicKeyOf(const std::string& private_key);

}  // namespace yagura::config
