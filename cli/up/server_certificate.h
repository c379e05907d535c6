#pragma once

#include <filesystem>

#include "absl/status/status.h"

namespace yagura::cli {

// Makes a self-signed certificate for a server (EC P-256, for localhost, 127.0.0.1, ::1 and this
// host's name, good for ten years) and its key (mode 0600), unless both files exist already. The
// folders exist.
absl::Status EnsureServerCertificate(const std::filesystem::path& certificate,
                                     const std::filesystem::path& key);

}  // namespace yagura::cli
