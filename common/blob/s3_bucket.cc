#include "common/blob/s3_bucket.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "fmt/format.h"

#include "common/status/status.h"
#include "common/text/text.h"

namespace yagura::blob {
namespace {

constexpr size_t kMaxErrorBytes = 16 << 10;  // of a refusal's text
constexpr long kOk = 200;
constexpr long kNoContent = 204;
constexpr long kNotFound = 404;

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

// What a server answered; the body no longer than it may be.
struct Answer {
  long code = 0;
  std::string body;
  size_t limit = 0;
  bool too_long = false;

  static size_t OnBody(char* data, size_t size, size_t count, void* self_pointer) {
    auto& self = *static_cast<Answer*>(self_pointer);
    if (self.body.size() + (size * count) > self.limit) {
      self.too_long = true;
      return 0;
    }
    self.body.append(data, size * count);
    return size * count;
  }
};

bool IsPlain(std::string_view text, std::string_view besides) {
  return std::all_of(text.begin(), text.end(), [besides](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           besides.find(c) != std::string_view::npos;
  });
}

// "NoSuchBucket" of "<Error><Code>NoSuchBucket</Code>..."; empty where nothing like it is there.
std::string CodeOf(std::string_view xml) {
  constexpr std::string_view kOpen = "<Code>";
  const size_t begin = xml.find(kOpen);
  if (begin == std::string_view::npos) return "";
  xml.remove_prefix(begin + kOpen.size());
  const std::string_view code = xml.substr(0, xml.find('<'));
  return code.size() <= 64 && IsPlain(code, "._") ? std::string(code) : "";
}

Status Io(std::string_view what, std::string_view why) {
  return Unavailable("BLOB_IO", fmt::format("{}: {}", what, why));
}

Status Refusal(std::string_view what, const Answer& answer) {
  const std::string code = CodeOf(answer.body);
  return Io(what,
            fmt::format("the bucket answered {}{}{}", answer.code, code.empty() ? "" : " ", code));
}

class S3Store final : public BlobStore {
 public:
  explicit S3Store(S3Options options) : options_(std::move(options)) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
  }
  ~S3Store() override { curl_global_cleanup(); }
  S3Store(const S3Store&) = delete;
  S3Store& operator=(const S3Store&) = delete;

  StatusOr<std::string> Put(std::string_view bytes) override {
    if (bytes.size() > options_.max_blob_bytes) return TooLarge(bytes.size());
    std::string digest = DigestOf(bytes);
    YAGURA_ASSIGN_OR_RETURN(const Answer answer, Ask("PUT", digest, bytes, kMaxErrorBytes));
    if (answer.code != kOk) return Refusal("put", answer);
    return digest;
  }

  StatusOr<std::string> Get(std::string_view digest) const override {
    YAGURA_RETURN_IF_ERROR(CheckDigest(digest));
    const size_t limit = std::max(options_.max_blob_bytes, kMaxErrorBytes);
    YAGURA_ASSIGN_OR_RETURN(Answer answer, Ask("GET", digest, "", limit));
    if (answer.too_long) return TooLarge(limit + 1);
    if (IsMissing(answer)) return NotFound(fmt::format("blob {}", digest));
    if (answer.code != kOk) return Refusal("get", answer);
    if (DigestOf(answer.body) != digest) {
      return MakeError(absl::StatusCode::kDataLoss, "BLOB_DAMAGED",
                       fmt::format("blob {} is damaged", digest));
    }
    return std::move(answer.body);
  }

  StatusOr<bool> Contains(std::string_view digest) const override {
    YAGURA_RETURN_IF_ERROR(CheckDigest(digest));
    YAGURA_ASSIGN_OR_RETURN(const Answer answer, Ask("HEAD", digest, "", kMaxErrorBytes));
    if (answer.code == kNotFound) return false;  // or there is no bucket: a HEAD does not tell
    if (answer.code != kOk) return Refusal("head", answer);
    return true;
  }

  Status Delete(std::string_view digest) override {
    YAGURA_RETURN_IF_ERROR(CheckDigest(digest));
    YAGURA_ASSIGN_OR_RETURN(const Answer answer, Ask("DELETE", digest, "", kMaxErrorBytes));
    if (answer.code == kOk || answer.code == kNoContent || IsMissing(answer)) {
      return absl::OkStatus();
    }
    return Refusal("delete", answer);
  }

 private:
  static bool IsMissing(const Answer& answer) {
    return answer.code == kNotFound && CodeOf(answer.body) == "NoSuchKey";
  }

  Status TooLarge(size_t size) const {
    return MakeError(absl::StatusCode::kResourceExhausted, "BLOB_TOO_LARGE",
                     fmt::format("{} bytes, at most {} are kept", size, options_.max_blob_bytes));
  }

  std::string UrlOf(std::string_view digest) const {
    return fmt::format("{}/{}/{}{}/{}", options_.endpoint, options_.bucket, options_.prefix,
                       digest.substr(0, 2), digest.substr(2));
  }

  StatusOr<Answer> Ask(const char* method, std::string_view digest, std::string_view body,
                       size_t limit) const {
    const std::unique_ptr<CURL, FreeCurl> owner(curl_easy_init());
    CURL* const curl = owner.get();
    if (curl == nullptr) return Internal("libcurl has no handle");
    const std::string url = UrlOf(digest);
    const std::string signing = fmt::format("aws:amz:{}:s3", options_.region);
    // The server compares the body with it, and the signature covers it.
    const std::string content =
        fmt::format("x-amz-content-sha256: {}", body.empty() ? DigestOf("") : std::string(digest));
    std::unique_ptr<curl_slist, FreeCurl> headers(curl_slist_append(nullptr, content.c_str()));
    curl_slist_append(headers.get(), "Content-Type: application/octet-stream");
    Answer answer;
    answer.limit = limit;
    std::array<char, CURL_ERROR_SIZE> error{};
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error.data());
    curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
    curl_easy_setopt(curl, CURLOPT_AWS_SIGV4, signing.c_str());
    curl_easy_setopt(curl, CURLOPT_USERNAME, options_.access_key_id.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, options_.secret_access_key.c_str());
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
    if (!options_.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                     static_cast<long>(options_.connect_timeout.count()));
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(options_.timeout.count()));
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &Answer::OnBody);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &answer);
    if (std::string_view(method) == "HEAD") {
      curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    } else if (std::string_view(method) == "PUT") {
      curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
      curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data());
    }
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    const CURLcode code = curl_easy_perform(curl);
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer.code);
    if (code == CURLE_OK || answer.too_long) return answer;
    return Io(ToLower(method), error[0] != '\0' ? error.data() : curl_easy_strerror(code));
  }

  const S3Options options_;
};

Status Check(const S3Options& options) {
  FieldErrors errors;
  const std::string_view endpoint = options.endpoint;
  const size_t scheme = endpoint.starts_with("https://")  ? 8
                        : endpoint.starts_with("http://") ? 7
                                                          : 0;
  if (scheme == 0 || endpoint.size() == scheme || !IsPlain(endpoint.substr(scheme), ".-:[]")) {
    errors.Add("endpoint", "must be https://HOST[:PORT] or http://HOST[:PORT]");
  }
  if (options.bucket.size() < 3 || options.bucket.size() > 63 || !IsPlain(options.bucket, ".-")) {
    errors.Add("bucket", "must be the name of a bucket: 3 to 63 letters, digits, '.' and '-'");
  }
  if (options.prefix.size() > 512 || options.prefix.starts_with('/') ||
      !IsPlain(options.prefix, ".-_/")) {
    errors.Add("prefix", "at most 512 letters, digits, '.', '-', '_' and '/', not '/' first");
  }
  if (options.region.empty() || !IsPlain(options.region, "-")) {
    errors.Add("region", "must be a region, such as us-east-1");
  }
  if (options.access_key_id.empty()) errors.Add("access_key_id", "must be given");
  if (options.secret_access_key.empty()) errors.Add("secret_access_key", "must be given");
  return errors.ToStatus();
}

}  // namespace

StatusOr<std::unique_ptr<BlobStore>> OpenS3Bucket(S3Options options) {
  YAGURA_RETURN_IF_ERROR(Check(options));
  return std::make_unique<S3Store>(std::move(options));
}

}  // namespace yagura::blob
