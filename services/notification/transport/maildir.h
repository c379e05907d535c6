#pragma once

#include <filesystem>
#include <memory>

#include "absl/status/statusor.h"

#include "services/notification/transport/transport.h"

namespace yagura::notification {

// Puts each mail into a maildir (tmp, new, cur), to be read by any mail program. The file is named
// by the Message-ID: a repeat finds it there and is no second mail. On disk once accepted.
absl::StatusOr<std::unique_ptr<MailTransport>> NewMaildirTransport(
    const std::filesystem::path& folder);

}  // namespace yagura::notification
