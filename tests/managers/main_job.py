"""The main job: the tests that a manager is put to where there is no time for all."""

from __future__ import annotations

__all__ = ["is_main_job"]

_MAIN_JOB = (
    "test_admin.py::test_key_pair_is_taken",
    "test_admin.py::test_work_through_a_login",
    "test_administration.py",
    "test_batch_sessions.py",
    "test_cancellation.py::test_block_that_is_cancelled_while_code_runs",
    "test_commands.py::test_ctrl_c_while_the_session_is_made",
    "test_commands.py::test_log_is_followed_until_the_kernel_ends",
    "test_commands.py::test_main_job_of_each_kind_of_user",
    "test_commands.py::test_run_of_code",
    "test_commands.py::test_run_of_files",
    "test_commands.py::test_standard_input[",
    "test_execution.py::test_batch_of_files",
    "test_execution.py::test_exception",
    "test_execution.py::test_exit_code_of_a_batch_run",
    "test_execution.py::test_input",
    "test_execution.py::test_interrupt",
    "test_files.py::test_download[",
    "test_files.py::test_upload_of_many_files",
    "test_folders.py::test_archive",
    "test_folders.py::test_clone",
    "test_folders.py::test_folder_in_a_session",
    "test_folders.py::test_folder_in_the_trash",
    "test_folders.py::test_folder_of_a_project",
    "test_folders.py::test_life_of_a_folder",
    "test_lists.py",
    "test_projects.py",
    "test_resources.py",
    "test_services.py::test_events_of_a_session",
    "test_services.py::test_ssh",
    "test_sessions.py::test_session_gets_what_it_was_asked_for",
    "test_sessions.py::test_session_is_renamed",
    "test_sessions.py::test_session_is_reused_by_its_token",
    "test_sessions.py::test_session_lives_as_long_as_its_block",
    "test_sessions.py::test_session_that_waits_says_why",
    "test_settings.py",
    "test_sweeps.py::test_sweep[",
    "test_templates.py",
)


def is_main_job(node_id: str) -> bool:
    """Whether a test is one of the main job.

    Args:
        node_id: pytest's name of it.
    """
    return node_id.rpartition("/")[2].startswith(_MAIN_JOB)
