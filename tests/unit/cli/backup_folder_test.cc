// The folder of a backup: what is written comes back as it was, and what is wrong with it is found.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stop_token>
#include <string>
#include <vector>

#include "cli/backup/backup_key.h"
#include "cli/backup/backup_reader.h"
#include "cli/backup/backup_writer.h"
#include "cli/backup/files.h"
#include "cli/backup/manifest_check.h"
#include "cli/backup/sealed_stream.h"
#include "cli/backup/work.h"
#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

#include "common/testing/eventually.h"
#include "common/testing/process.h"
#include "common/testing/status_matchers.h"

namespace yagura::cli {
namespace {

namespace fs = std::filesystem;
using testing::IsOk;
using testing::StatusIs;

std::string Content(const fs::path& file) {
  std::stringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

void Put(const fs::path& file, const std::string& text, mode_t mode = 0600) {
  fs::create_directories(file.parent_path());
  std::ofstream(file, std::ios::binary) << text;
  chmod(file.c_str(), mode);
}

class BackupFolder : public ::testing::Test {
 protected:
  BackupFolder() {
    EXPECT_THAT(WriteKeyFile(root_ / "key"), IsOk());
    key_.key_file = root_ / "key";
    plain_.plain = true;
  }

  // Of two files, one of them longer than a chunk of the encryption.
  absl::Status Make(const fs::path& folder, const KeySource& source) {
    backup::v1::Manifest manifest;
    backup::v1::Encryption encryption;
    auto key = NewBackupKey(source, &encryption);
    if (!key.ok()) return key.status();
    if (*key) *manifest.mutable_encryption() = encryption;
    auto writer = BackupWriter::Create(folder, *key, work_);
    if (!writer.ok()) return writer.status();
    Put(root_ / "source", large_, 0644);
    YAGURA_RETURN_IF_ERROR((*writer)->Copy(root_ / "source", "data/deep/large", 0644));
    auto file = (*writer)->NewFile("redis/state.rdb");
    if (!file.ok()) return file.status();
    YAGURA_RETURN_IF_ERROR((*file)->Add("sec"));
    YAGURA_RETURN_IF_ERROR((*file)->Add("ret words"));
    YAGURA_RETURN_IF_ERROR((*file)->Finish());
    return (*writer)->Finish(manifest).status();
  }
  absl::Status Verify(const fs::path& folder, const KeySource& source) {
    auto reader = BackupReader::Open(folder);
    if (!reader.ok()) return reader.status();
    if (!source.plain) YAGURA_RETURN_IF_ERROR(reader->Unlock(source));
    return reader->Verify(work_);
  }
  void FlipABit(const fs::path& file, size_t at) {
    std::string text = Content(file);
    text.at(at) = static_cast<char>(text[at] ^ 4);
    Put(file, text);
  }

  const testing::TemporaryFolder temporary_;
  const fs::path& root_ = temporary_.path();
  KeySource key_;
  KeySource plain_;
  Work work_{0, {}};
  const std::string large_ = std::string(2 << 20, 'a') + "the end";
};

TEST_F(BackupFolder, ComesBackAsItWas) {
  for (const KeySource& source : {key_, plain_}) {
    const fs::path folder = root_ / (source.plain ? "plain" : "sealed");
    ASSERT_THAT(Make(folder, source), IsOk());
    EXPECT_THAT(Verify(folder, source), IsOk());
    ASSERT_OK_AND_ASSIGN(BackupReader reader, BackupReader::Open(folder));
    ASSERT_THAT(reader.Unlock(source), IsOk());
    const auto found = reader.FilesBelow("data/");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].first, "data/deep/large");
    const fs::path to = root_ / "out" / folder.filename();
    ASSERT_THAT(reader.Extract(*found[0].second, to, work_), IsOk());
    EXPECT_EQ(Content(to), large_);
    EXPECT_EQ(fs::status(to).permissions() & fs::perms::mask, fs::perms{0644});
  }
}

TEST_F(BackupFolder, IsPrivateAndSha256sumAgrees) {
  const fs::path folder = root_ / "plain";
  ASSERT_THAT(Make(folder, plain_), IsOk());
  EXPECT_EQ(fs::status(folder).permissions() & fs::perms::mask, fs::perms{0700});
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    EXPECT_EQ(entry.status().permissions() & fs::perms::mask, fs::perms{0600}) << entry.path();
  }
  const std::string check =
      fmt::format("cd '{}' && sha256sum -c --strict --quiet SHA256SUMS", folder.string());
  EXPECT_EQ(std::system(check.c_str()), 0);
  EXPECT_THAT(Content(folder / "SHA256SUMS"), ::testing::HasSubstr("  manifest.json\n"));
}

TEST_F(BackupFolder, EncryptedSaysNothingOfWhatItHolds) {
  const fs::path folder = root_ / "sealed";
  ASSERT_THAT(Make(folder, key_), IsOk());
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (!entry.is_regular_file()) continue;
    const std::string text = Content(entry.path());
    EXPECT_EQ(text.find("secret words"), std::string::npos) << entry.path();
    EXPECT_EQ(text.find("aaaaaaaa"), std::string::npos) << entry.path();
  }
}

TEST_F(BackupFolder, AnyFlippedBitIsFound) {
  ASSERT_THAT(Make(root_ / "sealed", key_), IsOk());
  ASSERT_THAT(Make(root_ / "plain", plain_), IsOk());
  for (const KeySource& source : {key_, plain_}) {
    const fs::path whole = root_ / (source.plain ? "plain" : "sealed");
    ASSERT_OK_AND_ASSIGN(const auto files, ListFiles(whole));
    for (const FoundFile& file : files) {
      const fs::path copy = root_ / "copy";
      fs::copy(whole, copy, fs::copy_options::recursive);
      FlipABit(copy / file.path, file.size / 2);
      EXPECT_THAT(Verify(copy, source), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"))
          << file.path;
      // Also without the key.
      EXPECT_THAT(Verify(copy, plain_), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"))
          << file.path;
      fs::remove_all(copy);
    }
  }
}

TEST_F(BackupFolder, WhatIsMissingOrLongerIsFound) {
  const fs::path folder = root_ / "plain";
  ASSERT_THAT(Make(folder, plain_), IsOk());
  std::ofstream(folder / "redis/state.rdb", std::ios::app) << "more";
  EXPECT_THAT(Verify(folder, plain_), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"));
  // In one line, as errors are shown.
  EXPECT_THAT(std::string(Message(Verify(folder, plain_))),
              ::testing::AllOf(::testing::HasSubstr("damaged: redis/state.rdb: is longer"),
                               ::testing::Not(::testing::HasSubstr("\n"))));
  fs::remove(folder / "redis/state.rdb");
  EXPECT_THAT(Verify(folder, plain_), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"));
}

// Whoever can write the folder could make sums anew: not without the key.
TEST_F(BackupFolder, AManifestThatWasMadeAnewIsFoundWithTheKey) {
  const fs::path folder = root_ / "sealed";
  ASSERT_THAT(Make(folder, key_), IsOk());
  std::string text = Content(folder / "manifest.json");
  const size_t at = text.find("\"mode\": 420");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 11, "\"mode\": 511");
  Put(folder / "manifest.json", text);
  const std::string sums = fmt::format(
      "cd '{}' && sha256sum $(find . -type f ! -name SHA256SUMS | sed 's,^./,,') > "
      "SHA256SUMS",
      folder.string());
  ASSERT_EQ(std::system(sums.c_str()), 0);
  EXPECT_THAT(Verify(folder, plain_), IsOk());
  EXPECT_THAT(Verify(folder, key_), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"));
}

// Nor can a plain backup be put in the place of an encrypted one.
TEST_F(BackupFolder, APlainOneIsTakenOnlyWhereThatIsSaid) {
  ASSERT_THAT(Make(root_ / "plain", plain_), IsOk());
  Put(root_ / "phrase", "correct horse battery\n");
  KeySource phrase;
  phrase.passphrase_file = root_ / "phrase";
  ASSERT_OK_AND_ASSIGN(BackupReader plain, BackupReader::Open(root_ / "plain"));
  for (const KeySource& source : {key_, phrase, KeySource()}) {
    EXPECT_THAT(plain.Unlock(source),
                StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_NOT_ENCRYPTED"));
  }
  EXPECT_THAT(plain.Unlock(plain_), IsOk());
  KeySource both = key_;
  both.plain = true;
  EXPECT_THAT(plain.Unlock(both),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED"));
  ASSERT_THAT(Make(root_ / "sealed", key_), IsOk());
  ASSERT_OK_AND_ASSIGN(BackupReader sealed, BackupReader::Open(root_ / "sealed"));
  EXPECT_THAT(sealed.Unlock(plain_),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED"));
}

backup::v1::Table TableOf(const std::string& name, const std::string& statement, bool view) {
  backup::v1::Table table;
  table.set_name(name);
  table.set_create_statement(statement);
  table.set_view(view);
  return table;
}

TEST_F(BackupFolder, StatementsMakeTheTablesThatTheyAreOfAndNothingElse) {
  const auto check = [](const std::vector<backup::v1::Table>& tables) {
    backup::v1::Manifest manifest;
    manifest.mutable_tables()->Assign(tables.begin(), tables.end());
    return CheckManifest(manifest);
  };
  const auto table = TableOf("events", "CREATE TABLE yagura.events (`a` UInt8) ENGINE = M", false);
  const auto view = TableOf("v", "CREATE MATERIALIZED VIEW yagura.v TO yagura.t (`a` UInt8)", true);
  EXPECT_THAT(check({table, view}), IsOk());
  for (const auto& bad :
       {TableOf("events", "DROP DATABASE yagura", false),
        TableOf("events", "CREATE TABLE yagura.events2 (`a` UInt8)", false),
        TableOf("events", "CREATE TABLE other.events (`a` UInt8)", false),
        TableOf("events", "CREATE TABLE yagura.events AS url('http://h/', 'CSV')", false),
        TableOf("events", "CREATE TABLE yagura.events (`a` UInt8)", true),
        TableOf("v", "CREATE VIEW yagura.v AS SELECT 1", true), TableOf("v", "", true),
        TableOf("../x", "CREATE TABLE yagura.../x (", false), TableOf("", "", false)}) {
    EXPECT_THAT(check({bad}), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"))
        << bad.DebugString();
  }
  EXPECT_THAT(check({table, table}), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"));
}

TEST_F(BackupFolder, EachFileHasAPlaceOfItsOwnThatIsItsToTake) {
  const auto check = [](const std::vector<std::string>& paths) {
    backup::v1::Manifest manifest;
    for (const std::string& path : paths) manifest.add_files()->set_path(path);
    return CheckManifest(manifest);
  };
  EXPECT_THAT(check({"data/keys/a", "data/keys/b", "redis/state.rdb", "store/events/1_1_1_0/x"}),
              IsOk());
  for (const std::vector<std::string>& bad : std::vector<std::vector<std::string>>{
           {"data/a", "data/a"},
           {"data/a", "data/a/b"},
           {"data/a", "data/a/b/c"},
           {"data/../a"},
           {"data/redis-state/appendonlydir/appendonly.aof.manifest"},
           {"data/store/metadata/x.sql"},
           {"data/lock"},
           {"data/restore-unfinished"},
           {"data/endpoints.json"}}) {
    EXPECT_THAT(check(bad), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED")) << bad.front();
  }
  // Whoever verifies sees it.
  {
    ASSERT_OK_AND_ASSIGN(const auto writer, BackupWriter::Create(root_ / "b", {}, work_));
    Put(root_ / "source", "x");
    ASSERT_THAT(writer->Copy(root_ / "source", "data/redis-flow/x"), IsOk());
    ASSERT_THAT(writer->Finish({}).status(), IsOk());
  }
  EXPECT_THAT(Verify(root_ / "b", plain_), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"));
}

TEST_F(BackupFolder, FilesThatWereExchangedDoNotOpen) {
  const auto key = seal::SecretKey::Random();
  std::string sealed;
  SealingStream sealing(key, "data/a", [&sealed](std::string_view bytes) {
    sealed += bytes;
    return absl::OkStatus();
  });
  ASSERT_THAT(sealing.Add("text"), IsOk());
  ASSERT_THAT(sealing.Finish(), IsOk());
  const auto open = [&](const std::string& name, std::string_view bytes) {
    std::string text;
    OpeningStream opening(key, name, [&text](std::string_view piece) {
      text += piece;
      return absl::OkStatus();
    });
    YAGURA_RETURN_IF_ERROR(opening.Add(bytes));
    YAGURA_RETURN_IF_ERROR(opening.Finish());
    EXPECT_EQ(text, "text");
    return absl::OkStatus();
  };
  EXPECT_THAT(open("data/a", sealed), IsOk());
  EXPECT_THAT(open("data/b", sealed), StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"));
  for (size_t length = 0; length < sealed.size(); ++length) {
    EXPECT_THAT(open("data/a", std::string_view(sealed).substr(0, length)),
                StatusIs(absl::StatusCode::kDataLoss, "BACKUP_DAMAGED"))
        << length;
  }
}

// Sizes around the chunk of the encryption, in pieces of any length.
TEST_F(BackupFolder, EveryLengthOpens) {
  const auto key = seal::SecretKey::Random();
  constexpr size_t kChunk = 1 << 20;
  for (const size_t length : {size_t{0}, size_t{1}, kChunk - 1, kChunk, kChunk + 1, 3 * kChunk}) {
    const std::string text(length, 'q');
    std::string sealed;
    SealingStream sealing(key, "n", [&sealed](std::string_view bytes) {
      sealed += bytes;
      return absl::OkStatus();
    });
    for (size_t at = 0; at < length; at += 700'001) {
      ASSERT_THAT(sealing.Add(std::string_view(text).substr(at, 700'001)), IsOk());
    }
    ASSERT_THAT(sealing.Finish(), IsOk());
    std::string opened;
    OpeningStream opening(key, "n", [&opened](std::string_view bytes) {
      opened += bytes;
      return absl::OkStatus();
    });
    for (size_t at = 0; at < sealed.size(); at += 99'991) {
      ASSERT_THAT(opening.Add(std::string_view(sealed).substr(at, 99'991)), IsOk());
    }
    ASSERT_THAT(opening.Finish(), IsOk());
    EXPECT_EQ(opened, text);
  }
}

TEST_F(BackupFolder, TheWrongKeyIsSaidToBeWrong) {
  const fs::path folder = root_ / "sealed";
  ASSERT_THAT(Make(folder, key_), IsOk());
  ASSERT_THAT(WriteKeyFile(root_ / "other"), IsOk());
  KeySource other;
  other.key_file = root_ / "other";
  EXPECT_THAT(Verify(folder, other),
              StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_KEY_WRONG"));
  ASSERT_OK_AND_ASSIGN(BackupReader reader, BackupReader::Open(folder));
  EXPECT_THAT(reader.Unlock({}), StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED"));
  Put(root_ / "phrase", "correct horse battery\n");
  KeySource phrase;
  phrase.passphrase_file = root_ / "phrase";
  EXPECT_THAT(reader.Unlock(phrase),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED"));
}

TEST_F(BackupFolder, APassphraseDoesAsWell) {
  Put(root_ / "phrase", "correct horse battery\n");
  KeySource phrase;
  phrase.passphrase_file = root_ / "phrase";
  ASSERT_THAT(Make(root_ / "sealed", phrase), IsOk());
  EXPECT_THAT(Verify(root_ / "sealed", phrase), IsOk());
  Put(root_ / "phrase", "correct horse batterz\n");
  EXPECT_THAT(Verify(root_ / "sealed", phrase),
              StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_KEY_WRONG"));
  Put(root_ / "phrase", "short\n");
  EXPECT_THAT(Make(root_ / "other", phrase),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_FILE_BAD"));
}

TEST_F(BackupFolder, AKeyIsMadeInTheFolderWhereOneIsAndOnce) {
  const fs::path before = fs::current_path();
  fs::current_path(root_);
  EXPECT_THAT(WriteKeyFile("here"), IsOk());
  EXPECT_EQ(WriteKeyFile("here").code(), absl::StatusCode::kAlreadyExists);
  fs::current_path(before);
  EXPECT_EQ(fs::status(root_ / "here").permissions() & fs::perms::mask, fs::perms{0600});
}

TEST_F(BackupFolder, WantsToBeToldHowItIsKept) {
  EXPECT_THAT(Make(root_ / "b", {}),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED"));
  KeySource both = key_;
  both.plain = true;
  EXPECT_THAT(Make(root_ / "b", both),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_WANTED"));
  chmod((root_ / "key").c_str(), 0644);
  EXPECT_THAT(Make(root_ / "b", key_),
              StatusIs(absl::StatusCode::kInvalidArgument, "BACKUP_KEY_FILE_BAD"));
}

TEST_F(BackupFolder, NothingIsOverwritten) {
  ASSERT_THAT(Make(root_ / "b", plain_), IsOk());
  EXPECT_THAT(Make(root_ / "b", plain_),
              StatusIs(absl::StatusCode::kAlreadyExists, "BACKUP_EXISTS"));
  EXPECT_THAT(Verify(root_ / "b", plain_), IsOk());
  Put(root_ / "other" / "file", "somebody's");
  EXPECT_THAT(Make(root_ / "other", plain_),
              StatusIs(absl::StatusCode::kAlreadyExists, "BACKUP_EXISTS"));
  EXPECT_EQ(Content(root_ / "other" / "file"), "somebody's");
}

TEST_F(BackupFolder, WhatIsBrokenOffIsTakenAwayAndNeverLooksWhole) {
  {
    ASSERT_OK_AND_ASSIGN(const auto writer, BackupWriter::Create(root_ / "b", {}, work_));
    ASSERT_OK_AND_ASSIGN(const auto file, writer->NewFile("redis/state.rdb"));
    ASSERT_THAT(file->Add("half"), IsOk());
    EXPECT_THAT(BackupReader::Open(root_ / "b").status(),
                StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_INCOMPLETE"));
  }
  EXPECT_FALSE(fs::exists(root_ / "b"));
  // All files, but not the last one: as after a kill.
  ASSERT_THAT(Make(root_ / "c", plain_), IsOk());
  fs::remove(root_ / "c" / "SHA256SUMS");
  EXPECT_THAT(Verify(root_ / "c", plain_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_INCOMPLETE"));
}

TEST_F(BackupFolder, TheNextBackupTakesThePlaceOfOneThatWasKilled) {
  // As a kill leaves it: the same files, and nobody who holds the lock.
  const auto kill = [this](const fs::path& left) {
    ASSERT_OK_AND_ASSIGN(const auto writer, BackupWriter::Create(root_ / "running", {}, work_));
    ASSERT_OK_AND_ASSIGN(const auto file, writer->NewFile("redis/state.rdb"));
    ASSERT_THAT(file->Add("half"), IsOk());
    Put(root_ / "running" / "manifest.json", "{");
    EXPECT_THAT(Make(root_ / "running", plain_),
                StatusIs(absl::StatusCode::kAlreadyExists, "BACKUP_RUNS"))
        << "it is being written";
    fs::copy(root_ / "running", left, fs::copy_options::recursive);
  };
  kill(root_ / "b");
  EXPECT_THAT(Verify(root_ / "b", plain_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_INCOMPLETE"));
  ASSERT_THAT(Make(root_ / "b", plain_), IsOk());
  EXPECT_THAT(Verify(root_ / "b", plain_), IsOk());
  EXPECT_FALSE(fs::exists(root_ / "b" / "UNFINISHED"));

  // What somebody has put there meanwhile is kept.
  kill(root_ / "c");
  Put(root_ / "c" / "notes", "somebody's");
  EXPECT_THAT(Make(root_ / "c", plain_),
              StatusIs(absl::StatusCode::kAlreadyExists, "BACKUP_EXISTS"));
  EXPECT_EQ(Content(root_ / "c" / "notes"), "somebody's");
  EXPECT_EQ(Content(root_ / "c" / "redis" / "state.rdb"), "half");

  // Killed after the last file: it is whole.
  Put(root_ / "b" / "UNFINISHED", "");
  EXPECT_THAT(Verify(root_ / "b", plain_), IsOk());
  EXPECT_THAT(Make(root_ / "b", plain_),
              StatusIs(absl::StatusCode::kAlreadyExists, "BACKUP_EXISTS"));
  EXPECT_THAT(Verify(root_ / "b", plain_), IsOk());
}

TEST_F(BackupFolder, ANewerLayoutIsRefused) {
  ASSERT_THAT(Make(root_ / "b", plain_), IsOk());
  std::string text = Content(root_ / "b" / "manifest.json");
  const size_t at = text.find("\"format\": 1");
  ASSERT_NE(at, std::string::npos);
  text.replace(at, 11, "\"format\": 2, \"news\": true");
  Put(root_ / "b" / "manifest.json", text);
  const std::string sums = fmt::format(
      "cd '{}' && sha256sum $(find . -type f ! -name SHA256SUMS | sed 's,^./,,') > SHA256SUMS",
      (root_ / "b").string());
  ASSERT_EQ(std::system(sums.c_str()), 0);
  EXPECT_THAT(Verify(root_ / "b", plain_),
              StatusIs(absl::StatusCode::kFailedPrecondition, "BACKUP_TOO_NEW"));
}

TEST_F(BackupFolder, AStopEndsACopy) {
  std::stop_source stop;
  Work work(0, stop.get_token());
  ASSERT_OK_AND_ASSIGN(const auto writer, BackupWriter::Create(root_ / "b", {}, work));
  Put(root_ / "source", large_);
  stop.request_stop();
  EXPECT_THAT(writer->Copy(root_ / "source", "data/x"),
              StatusIs(absl::StatusCode::kCancelled, "STOPPED"));
}

// A dump of the one Redis that breaks off ends that of the other, which may have hours to go.
TEST_F(BackupFolder, OfTwoCopiesTheOneThatFailsEndsTheOther) {
  const auto breaks = [](const std::stop_token&) { return absl::UnavailableError("broke off"); };
  const auto lasts = [](const std::stop_token& stop) -> absl::Status {
    EXPECT_TRUE(testing::Eventually([&stop] { return stop.stop_requested(); }));
    return absl::CancelledError("stopped");
  };
  const auto done = [](const std::stop_token&) { return absl::OkStatus(); };
  EXPECT_TRUE(absl::IsUnavailable(DoBoth({}, breaks, lasts)));
  EXPECT_TRUE(absl::IsUnavailable(DoBoth({}, lasts, breaks)));
  EXPECT_THAT(DoBoth({}, done, done), IsOk());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(DoBoth(stop.get_token(), lasts, done)));
}

TEST_F(BackupFolder, IsWrittenNoFasterThanAllowed) {
  Work work(4 << 20, {});
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 4; ++i) ASSERT_THAT(work.Done(256 << 10), IsOk());
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(240));
}

TEST_F(BackupFolder, OnlyNamesBelowItAreSafe) {
  EXPECT_TRUE(IsSafePath("data/keys/internal.key"));
  EXPECT_TRUE(IsSafePath("data/水/ü"));
  for (const char* path :
       {"", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\nb", "a\\b", "data/"}) {
    EXPECT_FALSE(IsSafePath(path)) << path;
  }
}

TEST_F(BackupFolder, AFullDiskIsSaid) {
  EXPECT_THAT(CheckRoom(root_, 1ull << 60),
              StatusIs(absl::StatusCode::kFailedPrecondition, "DISK_FULL"));
  EXPECT_THAT(CheckRoom(root_ / "not" / "there" / "yet", 1), IsOk());
  const Descriptor full(open("/dev/full", O_WRONLY | O_CLOEXEC));
  EXPECT_THAT(WriteAll(full.get(), "x", "/dev/full"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "DISK_FULL"));
}

}  // namespace
}  // namespace yagura::cli
