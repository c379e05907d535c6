#include "common/blob/blob_settings.h"

#include "fmt/format.h"

#include "common/config/settings_reader.h"
#include "common/status/status.h"

namespace yagura::blob {

namespace fs = std::filesystem;

absl::StatusOr<BlobSettings> ReadBlobSettings(config::SettingsReader& reader,
                                              std::string_view what) {
  BlobSettings s;
  s.folder = reader.String(
      "blob_folder", s.folder,
      fmt::format("folder of {}, shared by all processes of the service; empty: one in the data "
                  "folder",
                  what));
  s.max_blob_bytes = reader.Bytes("max_blob_bytes", s.max_blob_bytes, 1u << 20, 1ull << 30,
                                  "largest of them that is kept");
  config::SettingsReader section =
      reader.Section("blob_bucket", fmt::format("an S3 bucket for {}, instead of a folder", what));
  S3Options& bucket = s.bucket;
  bucket.endpoint = section.String("endpoint", bucket.endpoint,
                                   "https://HOST[:PORT] of the S3 service; empty: no bucket");
  bucket.region = section.String("region", bucket.region, "region that requests are signed for");
  bucket.bucket = section.String("bucket", bucket.bucket, "name of the bucket, which must exist");
  bucket.prefix = section.String("prefix", bucket.prefix, "begin of every key, as \"yagura/\"");
  bucket.access_key_id =
      section.String("access_key_id", bucket.access_key_id, "who asks; its secret is in a file");
  bucket.secret_access_key = section.Secret("secret_access_key", "the secret of access_key_id");
  bucket.ca_file = section.String("ca_file", bucket.ca_file,
                                  "CAs of the S3 service (PEM); empty: those of this machine");
  bucket.timeout = section.Duration("timeout", bucket.timeout, std::chrono::seconds(1),
                                    std::chrono::minutes(30), "one request with its bytes");
  bucket.max_blob_bytes = s.max_blob_bytes;
  if (bucket.endpoint.empty() && !bucket.bucket.empty()) {
    return InvalidField("blob_bucket.endpoint", "must be given where a bucket is");
  }
  if (!bucket.endpoint.empty() && !s.folder.empty()) {
    return InvalidField("blob_folder", "must be empty where blob_bucket.endpoint is given");
  }
  return s;
}

absl::StatusOr<std::unique_ptr<BlobStore>> Open(const BlobSettings& settings,
                                                const std::filesystem::path& default_folder) {
  if (!settings.bucket.endpoint.empty()) return OpenS3Bucket(settings.bucket);
  return OpenFolder({.folder = settings.folder.empty() ? default_folder : fs::path(settings.folder),
                     .max_blob_bytes = settings.max_blob_bytes});
}

}  // namespace yagura::blob
