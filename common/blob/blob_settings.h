#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

#include "common/blob/s3_bucket.h"

namespace yagura::config {
class SettingsReader;
}

namespace yagura::blob {

// Where a service keeps its blobs: in an S3 bucket where one is set, else in a folder.
struct BlobSettings {
  std::string folder;  // empty: the service's default
  uint64_t max_blob_bytes = 64u << 20;
  S3Options bucket;  // its endpoint is empty where there is none
};

// Reads `blob_folder`, `max_blob_bytes` and the section `blob_bucket`. `what` is what the blobs
// are, for the help texts: "sealed texts". INVALID_ARGUMENT where both places, or half a bucket,
// are set.
absl::StatusOr<BlobSettings> ReadBlobSettings(config::SettingsReader& reader,
                                              std::string_view what);

absl::StatusOr<std::unique_ptr<BlobStore>> Open(const BlobSettings& settings,
                                                const std::filesystem::path& default_folder);

}  // namespace yagura::blob
