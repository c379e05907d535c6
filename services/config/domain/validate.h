#pragma once

#include <string_view>

#include "absl/status/status.h"

#include "yagura/config/v1/change.pb.h"
#include "yagura/config/v1/config_service.pb.h"
#include "yagura/config/v1/credential.pb.h"
#include "yagura/config/v1/device.pb.h"

// What requests must look like: INVALID_ARGUMENT naming every wrong field.
namespace yagura::config {

absl::Status Validate(const v1::Device& device);
absl::Status Validate(const v1::Credential& credential);
absl::Status Validate(const v1::CredentialSecret& secret);
absl::Status Validate(const v1::Change& change);
absl::Status Validate(const v1::Candidate& candidate);
// Why a snapshot is revealed.
absl::Status ValidateReason(std::string_view reason);
absl::Status ValidateComment(std::string_view comment, bool required);

}  // namespace yagura::config
