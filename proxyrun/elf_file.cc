// SPDX-License-Identifier: MIT
#include "proxyrun/elf_file.h"

#include <elf.h>
#include <limits.h>
#include <link.h>
#include <string.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace proxyd {
namespace {

using Header = ElfW(Ehdr);
using Segment = ElfW(Phdr);
using Section = ElfW(Shdr);

// This very program is what libpreload.so was built with.
#if defined(__x86_64__)
constexpr uint16_t OwnMachine = EM_X86_64;
#elif defined(__aarch64__)
constexpr uint16_t OwnMachine = EM_AARCH64;
#elif defined(__riscv)
constexpr uint16_t OwnMachine = EM_RISCV;
#else
#error "say here what <elf.h> calls this machine"
#endif
constexpr uint8_t OwnClass = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;

template <typename Struct>
bool read_struct(BorrowedFd file, uint64_t offset, Struct& out) {
    return pread(file.number(), &out, sizeof(out), static_cast<off_t>(offset)) ==
           static_cast<ssize_t>(sizeof(out));
}

// The text at `offset`, up to its NUL or `bytes_max`.
std::string read_text(BorrowedFd file, uint64_t offset, size_t bytes_max) {
    std::string text(bytes_max, '\0');
    const ssize_t size = pread(file.number(), text.data(), bytes_max, static_cast<off_t>(offset));
    text.resize(size > 0 ? static_cast<size_t>(size) : 0);
    return text.substr(0, text.find('\0'));
}

std::string find_interpreter(BorrowedFd file, const Header& header) {
    for (size_t i = 0; i < header.e_phnum; i++) {
        Segment segment;
        if (!read_struct(file, header.e_phoff + i * sizeof(segment), segment)) break;
        if (segment.p_type == PT_INTERP) return read_text(file, segment.p_offset, PATH_MAX);
    }
    return "";
}

// The linker of Go leaves a note with its build id, also where the names of sections are stripped.
bool has_go_note(BorrowedFd file, const Header& header) {
    for (size_t i = 0; i < header.e_phnum; i++) {
        Segment segment;
        if (!read_struct(file, header.e_phoff + i * sizeof(segment), segment)) break;
        if (segment.p_type != PT_NOTE) continue;
        ElfW(Nhdr) note;
        if (read_struct(file, segment.p_offset, note) && note.n_namesz == sizeof("Go") + 1 &&
            read_text(file, segment.p_offset + sizeof(note), sizeof("Go")) == "Go")
            return true;
    }
    return false;
}

bool has_section(BorrowedFd file, const Header& header, const char* wanted) {
    Section names;
    if (!read_struct(file, header.e_shoff + header.e_shstrndx * sizeof(names), names)) return false;
    for (size_t i = 0; i < header.e_shnum; i++) {
        Section section;
        if (!read_struct(file, header.e_shoff + i * sizeof(section), section)) break;
        if (read_text(file, names.sh_offset + section.sh_name, strlen(wanted) + 1) == wanted)
            return true;
    }
    return false;
}

}  // namespace

std::optional<ElfFile> ElfFile::read(BorrowedFd file) {
    Header header;
    if (!read_struct(file, 0, header) || memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        return std::nullopt;
    ElfFile elf;
    elf.is_native = header.e_ident[EI_CLASS] == OwnClass && header.e_machine == OwnMachine;
    elf.has_other_word_size = header.e_ident[EI_CLASS] != OwnClass;
    if (!elf.is_native) return elf;
    elf.interpreter = find_interpreter(file, header);
    elf.is_go = has_section(file, header, ".go.buildinfo") || has_go_note(file, header);
    return elf;
}

}  // namespace proxyd
