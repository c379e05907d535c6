#include "common/blob/s3_bucket.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"

#include "common/blob/blob_settings.h"
#include "common/config/settings_reader.h"
#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::blob {
namespace {

using testing::IsOk;
using testing::StatusIs;

namespace fs = std::filesystem;

void WriteFile(const fs::path& file, std::string_view text) {
  std::ofstream(file, std::ios::binary) << text;
}

std::string ReadText(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

// An S3 service (common/testing/s3_server.py) that checks signatures with Amazon's own library.
class S3Server {
 public:
  explicit S3Server(bool tls = false) {
    WriteFile(folder_ / "secret", kSecret);
    if (tls) {
      testing::Process openssl(
          {"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
           "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext",
           "subjectAltName=IP:127.0.0.1", "-keyout", (folder_ / "key.pem").string(), "-out",
           ca_file().string()},
          folder_ / "openssl.log");
      EXPECT_EQ(openssl.Wait(), 0);
    }
    std::vector<std::string> args = {
        "/usr/bin/python3",
        (fs::path(getenv("YAGURA_SOURCE_DIR")) / "common/testing/s3_server.py").string(),
        folder_.string()};
    if (tls) args.emplace_back("--tls");
    process_ = std::make_unique<testing::Process>(args, folder_ / "server.log");
    EXPECT_TRUE(testing::Eventually([&] { return fs::exists(folder_ / "port"); }))
        << ReadText(folder_ / "server.log");
    options.endpoint =
        (tls ? "https://127.0.0.1:" : "http://127.0.0.1:") + ReadText(folder_ / "port");
    options.region = "eu-north-1";
    options.bucket = "evidence";
    options.prefix = "yagura/";
    options.access_key_id = "tester";
    options.secret_access_key = kSecret;
    options.max_blob_bytes = 1 << 20;
  }
  ~S3Server() {
    process_.reset();
    fs::remove_all(folder_);
  }
  S3Server(const S3Server&) = delete;
  S3Server& operator=(const S3Server&) = delete;

  fs::path FileOf(const std::string& digest) const {
    return folder_ / "objects/yagura" / digest.substr(0, 2) / digest.substr(2);
  }
  fs::path ca_file() const { return folder_ / "certificate.pem"; }
  void FailNext(std::string_view status_and_code) const {
    WriteFile(folder_ / "fault", status_and_code);
  }
  void Stop() { process_.reset(); }

  static constexpr const char* kSecret = "wJalr/XUtn+FEMI:K7MDENG=";
  S3Options options;

 private:
  const fs::path folder_ = testing::MakeTemporaryFolder();
  std::unique_ptr<testing::Process> process_;
};

std::unique_ptr<BlobStore> MustOpen(const S3Options& options) {
  auto store = OpenS3Bucket(options);
  EXPECT_THAT(store, IsOk());
  return std::move(*store);
}

TEST(S3Bucket, GivesBackTheBytesUnderTheirSha256AndForgetsThem) {
  const S3Server server;
  const auto store = MustOpen(server.options);
  for (const std::string& bytes :
       {std::string("a\0b\r\n", 5), std::string(), std::string(1 << 20, '\xe6')}) {
    const auto digest = store->Put(bytes);
    ASSERT_THAT(digest, IsOk());
    EXPECT_EQ(*digest, DigestOf(bytes));
    EXPECT_EQ(ReadText(server.FileOf(*digest)), bytes);
    EXPECT_EQ(*store->Get(*digest), bytes);
    EXPECT_TRUE(*store->Contains(*digest));
    EXPECT_THAT(store->Delete(*digest), IsOk());
    EXPECT_FALSE(*store->Contains(*digest));
    EXPECT_THAT(store->Get(*digest), StatusIs(absl::StatusCode::kNotFound));
    EXPECT_THAT(store->Delete(*digest), IsOk()) << "no error where it is not there";
  }
}

TEST(S3Bucket, RefusesDamagedBytesAndPutHealsThem) {
  const S3Server server;
  const auto store = MustOpen(server.options);
  const std::string digest = *store->Put("evidence");
  WriteFile(server.FileOf(digest), "evidencf");
  EXPECT_THAT(store->Get(digest), StatusIs(absl::StatusCode::kDataLoss, "BLOB_DAMAGED"));
  EXPECT_THAT(store->Put("evidence"), IsOk());
  EXPECT_EQ(*store->Get(digest), "evidence");
}

TEST(S3Bucket, KeepsAndReadsNoMoreThanABlobMayHave) {
  const S3Server server;
  const auto store = MustOpen(server.options);
  EXPECT_THAT(store->Put(std::string((1 << 20) + 1, 'x')),
              StatusIs(absl::StatusCode::kResourceExhausted, "BLOB_TOO_LARGE"));
  const std::string digest = *store->Put("small");
  WriteFile(server.FileOf(digest), std::string(2 << 20, 'x'));
  EXPECT_THAT(store->Get(digest), StatusIs(absl::StatusCode::kResourceExhausted, "BLOB_TOO_LARGE"));
}

TEST(S3Bucket, NamesNoKeyThatIsNoDigest) {
  const auto store = MustOpen(S3Server().options);
  for (const char* wrong : {"", "../../etc/passwd", "ABCDEF"}) {
    EXPECT_THAT(store->Get(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
    EXPECT_THAT(store->Contains(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
    EXPECT_THAT(store->Delete(wrong), StatusIs(absl::StatusCode::kInvalidArgument)) << wrong;
  }
}

TEST(S3Bucket, SaysWhyItWasRefusedAndNoSecret) {
  const S3Server server;
  const auto expect = [](const absl::Status& status, const std::string& code) {
    EXPECT_THAT(status, StatusIs(absl::StatusCode::kUnavailable, "BLOB_IO"));
    EXPECT_NE(status.message().find(code), absl::string_view::npos) << status;
    EXPECT_EQ(status.ToString().find("FEMI"), std::string::npos) << status;
  };
  S3Options wrong = server.options;
  wrong.secret_access_key = "FEMI-but-another";
  expect(MustOpen(wrong)->Put("x").status(), "SignatureDoesNotMatch");
  expect(MustOpen(wrong)->Get(DigestOf("x")).status(), "SignatureDoesNotMatch");
  wrong = server.options;
  wrong.bucket = "elsewhere";
  expect(MustOpen(wrong)->Put("x").status(), "NoSuchBucket");
  expect(MustOpen(wrong)->Get(DigestOf("x")).status(), "NoSuchBucket");
  server.FailNext("503 SlowDown");
  expect(MustOpen(server.options)->Put("x").status(), "503 SlowDown");
}

TEST(S3Bucket, IsUnavailableWhileItsServerIsAway) {
  S3Server server;
  const auto store = MustOpen(server.options);
  server.Stop();
  EXPECT_THAT(store->Put("x"), StatusIs(absl::StatusCode::kUnavailable, "BLOB_IO"));
  EXPECT_THAT(store->Get(DigestOf("x")), StatusIs(absl::StatusCode::kUnavailable, "BLOB_IO"));
  EXPECT_THAT(store->Contains(DigestOf("x")), StatusIs(absl::StatusCode::kUnavailable, "BLOB_IO"));
  EXPECT_THAT(store->Delete(DigestOf("x")), StatusIs(absl::StatusCode::kUnavailable, "BLOB_IO"));
}

TEST(S3Bucket, OverTlsOnlyATrustedServerIsAsked) {
  const S3Server server(true);
  EXPECT_THAT(MustOpen(server.options)->Put("x"),
              StatusIs(absl::StatusCode::kUnavailable, "BLOB_IO"));
  S3Options options = server.options;
  options.ca_file = server.ca_file().string();
  const auto store = MustOpen(options);
  ASSERT_THAT(store->Put("x"), IsOk());
  EXPECT_EQ(*store->Get(DigestOf("x")), "x");
}

TEST(S3Bucket, ServesManyThreads) {
  const S3Server server;
  const auto store = MustOpen(server.options);
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&store, i] {
      for (int j = 0; j < 20; ++j) {
        const std::string bytes = std::to_string(i % 2) + "/" + std::to_string(j);
        const auto digest = store->Put(bytes);
        ASSERT_THAT(digest, IsOk());
        EXPECT_EQ(*store->Get(*digest), bytes);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(S3Bucket, EveryWrongOptionIsNamed) {
  const auto status = OpenS3Bucket({.endpoint = "ftp://x",
                                    .region = "a/b",
                                    .bucket = "../x",
                                    .prefix = "/p",
                                    .access_key_id = "",
                                    .secret_access_key = ""})
                          .status();
  EXPECT_THAT(status, StatusIs(absl::StatusCode::kInvalidArgument));
  for (const char* field :
       {"endpoint", "region", "bucket", "prefix", "access_key_id", "secret_access_key"}) {
    EXPECT_NE(status.message().find(field), absl::string_view::npos) << field << ": " << status;
  }
}

absl::StatusOr<BlobSettings> Read(const std::string& yaml) {
  auto reader = *config::SettingsReader::FromYaml(yaml);
  auto settings = ReadBlobSettings(reader, "reports");
  if (settings.ok() && !reader.Finish().ok()) return reader.Finish();
  return settings;
}

TEST(BlobSettings, NameAFolderOrABucketAndNotBoth) {
  const fs::path folder = testing::MakeTemporaryFolder();
  WriteFile(folder / "secret", "s3cr3t\n");
  const std::string bucket =
      "blob_bucket:\n  endpoint: https://s3.example.net\n  bucket: evidence\n"
      "  access_key_id: me\n  secret_access_key_file: " +
      (folder / "secret").string() + "\n";
  const auto settings = Read("max_blob_bytes: 2MiB\n" + bucket);
  ASSERT_THAT(settings, IsOk());
  EXPECT_EQ(settings->bucket.bucket, "evidence");
  EXPECT_EQ(settings->bucket.secret_access_key, "s3cr3t");
  EXPECT_EQ(settings->bucket.max_blob_bytes, 2u << 20);
  EXPECT_THAT(Open(*settings, folder / "unused"), IsOk());
  EXPECT_FALSE(fs::exists(folder / "unused"));

  EXPECT_THAT(Read("blob_folder: /srv/blobs\n" + bucket),
              StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(Read("blob_bucket:\n  bucket: evidence\n"),
              StatusIs(absl::StatusCode::kInvalidArgument));
  ASSERT_THAT(Open(*Read(""), folder / "default"), IsOk());
  EXPECT_TRUE(fs::is_directory(folder / "default"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace yagura::blob
