#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

// Large immutable values (attachments, reports, sealed texts) under the SHA-256 of their bytes.
namespace yagura::blob {

// 64 lower-case hex digits.
std::string DigestOf(std::string_view bytes);

// Thread-safe. What Put has answered is durable, and the same bytes are kept once.
//
// Errors: INVALID_ARGUMENT (not a digest), NOT_FOUND, RESOURCE_EXHAUSTED (BLOB_TOO_LARGE),
// DATA_LOSS (BLOB_DAMAGED: the bytes are no longer those of the digest), UNAVAILABLE (BLOB_IO).
class BlobStore {
 public:
  virtual ~BlobStore() = default;
  // Keeps the bytes and returns their digest.
  virtual absl::StatusOr<std::string> Put(std::string_view bytes) = 0;
  // The bytes, checked against the digest.
  virtual absl::StatusOr<std::string> Get(std::string_view digest) const = 0;
  virtual absl::StatusOr<bool> Contains(std::string_view digest) const = 0;
  // Forgets the bytes; no error where they are not there.
  virtual absl::Status Delete(std::string_view digest) = 0;
};

struct FolderOptions {
  std::filesystem::path folder;         // made (mode 0700) where it does not exist
  size_t max_blob_bytes = 64ull << 20;  // of one blob
};

// Blobs as files "<folder>/ab/cdef...", written beside, synced and renamed. Several processes may
// share a folder.
absl::StatusOr<std::unique_ptr<BlobStore>> OpenFolder(FolderOptions options);

// Whether it is 64 lower-case hex digits; INVALID_ARGUMENT on the field `digest` where not.
absl::Status CheckDigest(std::string_view digest);

}  // namespace yagura::blob
